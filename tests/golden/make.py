"""Make the golden files with PyTorch: python tests/golden/make.py. The tests read them and need no PyTorch.

Weights and inputs are float32; PyTorch computes in float64, so that a golden number is right to its last digit.
Matrices are stored as nlm has them: row vectors, Y = XW, gates side by side in the order i, f, g, o, and the two
biases of PyTorch added up into one.
"""

from pathlib import Path

import numpy as np
import torch

V, D, H, T, B = 7, 4, 5, 6, 3
FOLDER = Path(__file__).parent


def numbers(tensor):
    return tensor.detach().numpy()


def recurrent(kind, layers):
    """An Embedding, torch.nn.RNN or LSTM, a Linear and the cross-entropy: parameters, batch, outputs, gradients."""
    torch.manual_seed(layers)
    body = kind(D, H, layers).double()
    feet, head = torch.nn.Embedding(V, D).double(), torch.nn.Linear(H, V).double()
    with torch.no_grad():
        for parameter in (*body.parameters(), *feet.parameters(), *head.parameters()):
            parameter.copy_((0.5 * torch.randn(parameter.shape)).float().double())
        for l in range(layers):
            getattr(body, f"bias_hh_l{l}").zero_()
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


def rounded(*shape):
    """Random numbers that float32 holds exactly."""
    return (0.5 * torch.randn(*shape)).float().double().requires_grad_()


def taps(W):
    """W (2C,M), the rows of the earlier step first -> the weight of a torch.nn.Conv1d, (M,C,2)."""
    return W.reshape(2, -1, W.shape[1]).permute(2, 1, 0)


def dilated_convolution(d=3):
    """One torch.nn.Conv1d over what came before and x, both (time, batch, channel) as everywhere in nlm."""
    torch.manual_seed(5)
    given = {"x": rounded(T, B, D), "before": rounded(d, B, D), "W": rounded(2 * D, H), "b": rounded(H)}
    layer, dy = torch.nn.Conv1d(D, H, 2, dilation=d).double(), rounded(T, B, H).detach()
    parameters = {"weight": taps(given["W"]), "bias": given["b"]}
    y = torch.func.functional_call(layer, parameters, torch.cat([given["before"], given["x"]]).permute(1, 2, 0)).permute(2, 0, 1)
    y.backward(dy)
    found = {"y": numbers(y), **{f"d{name}": numbers(value.grad) for name, value in given.items()}}
    return {name: numbers(value).astype(np.float32) for name, value in {**given, "dy": dy}.items()} | found


def cnn(dilations=(1, 2, 4, 1)):
    """The layers of a WaveNet as torch.nn.Conv1d with zeros on the left, its loss and its gradients."""
    torch.manual_seed(6)
    L, context, pad = len(dilations), 1 + sum(dilations), torch.nn.functional.pad
    theta = {"E": rounded(V, D), "We": rounded(D, H), "be": rounded(H), "W1": rounded(L, 2 * H, 2 * H), "b1": rounded(L, 2 * H)}
    theta |= {"Wr": rounded(L - 1, H, H), "br": rounded(L - 1, H), "Ws": rounded(L, H, H), "bs": rounded(H)}
    theta |= {"U": rounded(H, V), "b2": rounded(V)}
    x, y = torch.randint(0, V, (2, 2 * T, B))
    y[1, 2] = -1
    layer, s = torch.nn.functional.embedding(x, theta["E"]) @ theta["We"] + theta["be"], theta["bs"]
    for l, d in enumerate(dilations):
        convolution = torch.nn.Conv1d(H, 2 * H, 2, dilation=d).double()
        parameters = {"weight": taps(theta["W1"][l]), "bias": theta["b1"][l]}
        a = torch.func.functional_call(convolution, parameters, pad(layer.permute(1, 2, 0), (d, 0))).permute(2, 0, 1)
        z = torch.tanh(a[..., :H]) * torch.sigmoid(a[..., H:])
        s = s + z @ theta["Ws"][l]
        layer = layer + z @ theta["Wr"][l] + theta["br"][l] if l + 1 < L else None
    h = torch.tanh(s)
    loss = torch.nn.functional.cross_entropy((h @ theta["U"] + theta["b2"]).reshape(-1, V), y.reshape(-1), ignore_index=-1)
    loss.backward()
    return {
        **{f"theta.{name}": numbers(value).astype(np.float32) for name, value in theta.items()},
        **{f"gradient.{name}": numbers(value.grad) for name, value in theta.items()},
        **{"context": context, "x": numbers(x), "y": numbers(y), "h": numbers(h), "loss": numbers(loss)},
    }


if __name__ == "__main__":
    for layers in (1, 2):
        np.savez(FOLDER / f"rnn_{layers}.npz", **recurrent(torch.nn.RNN, layers))
        np.savez(FOLDER / f"lstm_{layers}.npz", **recurrent(torch.nn.LSTM, layers))
    np.savez(FOLDER / "cross_entropy.npz", **cross_entropy())
    np.savez(FOLDER / "embedding.npz", **embedding())
    np.savez(FOLDER / "dilated_convolution.npz", **dilated_convolution())
    np.savez(FOLDER / "cnn.npz", **cnn())
