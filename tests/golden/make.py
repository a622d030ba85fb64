"""Make the golden files with PyTorch: python tests/golden/make.py. The tests read them and need no PyTorch.

Weights and inputs are float32; PyTorch computes in float64, so that a golden number is right to its last digit.
Matrices are stored as nlm has them: row vectors, Y = XW, gates side by side in PyTorch's order (i, f, g, o; r, z, n), and
the two biases of PyTorch added up into one, but for the n of a GRU, where r stands between them.
"""

from pathlib import Path

import numpy as np
import torch

V, D, H, T, B = 7, 4, 5, 6, 3
FOLDER = Path(__file__).parent


def numbers(tensor):
    return tensor.detach().numpy()


def recurrent(kind, layers):
    """An Embedding, torch.nn.RNN, LSTM or GRU, a Linear and the cross-entropy: parameters, batch, outputs, gradients."""
    torch.manual_seed(layers)
    body = kind(D, H, layers).double()
    feet, head = torch.nn.Embedding(V, D).double(), torch.nn.Linear(H, V).double()
    with torch.no_grad():
        for parameter in (*body.parameters(), *feet.parameters(), *head.parameters()):
            parameter.copy_((0.5 * torch.randn(parameter.shape)).float().double())
        for l in range(layers):
            getattr(body, f"bias_hh_l{l}")[: 2 * H if kind is torch.nn.GRU else None].zero_()
    x, y = torch.randint(0, V, (2, T, B))
    y[1, 2] = -1
    pieces = 2 if kind is torch.nn.LSTM else 1
    state = [(0.5 * torch.randn(layers, B, H)).float().double() for _ in range(pieces)]
    h, after = body(feet(x), tuple(state) if pieces == 2 else state[0])
    loss = torch.nn.functional.cross_entropy(head(h).reshape(-1, V), y.reshape(-1), ignore_index=-1)
    loss.backward()
    after = after if pieces == 2 else (after,)

    def letters(of):
        hidden = [of(getattr(body, f"weight_hh_l{l}")).T for l in range(layers)]
        above = [of(getattr(body, f"weight_ih_l{l}")).T for l in range(1, layers)]
        biases = [of(getattr(body, f"bias_ih_l{l}")) for l in range(layers)]
        found = {"E": of(feet.weight), "We": of(body.weight_ih_l0).T, "Wh": np.stack(hidden), "b1": np.stack(biases)}
        found |= {"Wx": np.stack(above)} if above else {}
        found |= {"bn": np.stack([of(getattr(body, f"bias_hh_l{l}"))[2 * H :] for l in range(layers)])} if kind is torch.nn.GRU else {}
        return found | {"U": of(head.weight).T, "b2": of(head.bias)}

    return {
        **{f"theta.{name}": value.astype(np.float32) for name, value in letters(numbers).items()},
        **{f"gradient.{name}": value for name, value in letters(lambda p: numbers(p.grad)).items()},
        **{f"state.{k}": numbers(s).astype(np.float32) for k, s in enumerate(state)},
        **{f"after.{k}": numbers(s) for k, s in enumerate(after)},
        "x": numbers(x),
        "y": numbers(y),
        "h": numbers(h),
        "loss": numbers(loss),
    }


def cross_entropy():
    torch.manual_seed(3)
    z = (2 * torch.randn(9, V)).float().double().requires_grad_()
    targets = torch.randint(0, V, (9,))
    targets[4] = -1
    loss = torch.nn.functional.cross_entropy(z, targets, ignore_index=-1)
    loss.backward()
    return {"z": numbers(z).astype(np.float32), "targets": numbers(targets), "loss": numbers(loss), "dz": numbers(z.grad)}


def embedding():
    torch.manual_seed(4)
    layer = torch.nn.Embedding(V, D).double()
    with torch.no_grad():
        layer.weight.copy_(layer.weight.float().double())
    x, de = torch.randint(0, V, (T, B)), torch.randn(T, B, D).float().double()
    e = layer(x)
    e.backward(de)
    weight = numbers(layer.weight).astype(np.float32)
    return {"E": weight, "x": numbers(x), "de": numbers(de).astype(np.float32), "e": numbers(e), "dE": numbers(layer.weight.grad)}


def adamw():
    """Twenty steps of torch.optim.AdamW: θ has 6 numbers that decay, 3 that do not, 5 that do.  after (20,14)"""
    torch.manual_seed(5)
    theta, gradients = (2 * torch.randn(14)).float().double(), torch.randn(20, 14).float().double()
    parts = [torch.nn.Parameter(part.clone()) for part in theta.split([6, 3, 5])]
    groups = [{"params": parts[::2], "weight_decay": 0.3}, {"params": parts[1:2], "weight_decay": 0.0}]
    optimizer, after = torch.optim.AdamW(groups, lr=0.05, betas=(0.8, 0.95), eps=1e-6), []
    for g in gradients:
        for part, of_part in zip(parts, g.split([6, 3, 5]), strict=True):
            part.grad = of_part
        optimizer.step()
        after.append(numbers(torch.cat(parts)).copy())
    return {"theta": numbers(theta).astype(np.float32), "g": numbers(gradients).astype(np.float32), "after": np.array(after)}


if __name__ == "__main__":
    for layers in (1, 2):
        np.savez(FOLDER / f"rnn_{layers}.npz", **recurrent(torch.nn.RNN, layers))
        np.savez(FOLDER / f"lstm_{layers}.npz", **recurrent(torch.nn.LSTM, layers))
        np.savez(FOLDER / f"gru_{layers}.npz", **recurrent(torch.nn.GRU, layers))
    np.savez(FOLDER / "cross_entropy.npz", **cross_entropy())
    np.savez(FOLDER / "embedding.npz", **embedding())
    np.savez(FOLDER / "adamw.npz", **adamw())
