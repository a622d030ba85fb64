"""Make the golden files with PyTorch and transformers: python tests/golden/make.py. The tests read them and need neither.

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


def filled(module, scale=0.5):
    """The module in float64, its parameters random numbers of float32."""
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_((scale * torch.randn(parameter.shape)).float().double())
    return module


def given_and_gradients(named):
    """name -> the value in float32, dname -> the gradient."""
    values = {name: numbers(value).astype(np.float32) for name, value in named.items()}
    return values | {f"d{name}": numbers(value.grad) for name, value in named.items()}


def layernorm():
    torch.manual_seed(5)
    layer = filled(torch.nn.LayerNorm(D, eps=1e-5))
    x, dy = (torch.randn(T, D).float().double().requires_grad_() for _ in range(2))
    y = layer(x)
    y.backward(dy)
    return given_and_gradients({"x": x, "g": layer.weight, "b": layer.bias}) | {"y": numbers(y), "dy": numbers(dy).astype(np.float32)}


def gelu():
    torch.manual_seed(6)
    u, dy = ((3 * torch.randn(T, D)).float().double().requires_grad_() for _ in range(2))
    y = torch.nn.functional.gelu(u, approximate="tanh")
    y.backward(dy)
    return given_and_gradients({"u": u}) | {"y": numbers(y), "dy": numbers(dy).astype(np.float32)}


def attention():
    """torch.nn.MultiheadAttention with a causal mask; its projections are left as they are, so that qkv goes in as it is."""
    torch.manual_seed(7)
    heads, width = 2, 6
    layer = torch.nn.MultiheadAttention(width, heads, batch_first=True).double()
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.eye(width).repeat(3, 1))
        layer.out_proj.weight.copy_(torch.eye(width))
        layer.in_proj_bias.zero_()
        layer.out_proj.bias.zero_()
    qkv, do = (torch.randn(B, T, size).float().double().requires_grad_() for size in (3 * width, width))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64)
    o, _ = layer(*qkv.split(width, 2), attn_mask=mask, need_weights=False)
    o.backward(do)
    return given_and_gradients({"qkv": qkv}) | {"heads": heads, "o": numbers(o), "do": numbers(do).astype(np.float32)}


GPT2 = {  # nlm's name: GPT-2's, of which those of a layer stand under h.0, h.1, ...
    "E": "wte.weight", "Ep": "wpe.weight", "gf": "ln_f.weight", "bf": "ln_f.bias",
    "ga": "ln_1.weight", "ba": "ln_1.bias", "Wqkv": "attn.c_attn.weight", "bqkv": "attn.c_attn.bias",
    "Wo": "attn.c_proj.weight", "bo": "attn.c_proj.bias", "gm": "ln_2.weight", "bm": "ln_2.bias",
    "W1": "mlp.c_fc.weight", "b1": "mlp.c_fc.bias", "W2": "mlp.c_proj.weight", "b2": "mlp.c_proj.bias",
}  # fmt: skip


def gpt2(layers, tie):
    """GPT-2 with two heads on whole blocks: parameters, batch, outputs, gradients."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(8 + layers)
    sizes = {"vocab_size": V, "n_positions": T, "n_embd": D, "n_inner": H, "n_layer": layers, "n_head": 2}
    config = GPT2Config(**sizes, tie_word_embeddings=tie, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0)
    model = filled(GPT2LMHeadModel(config))
    x, y = torch.randint(0, V, (2, T, B))
    y[1, 2] = -1
    h = model.transformer(x.T).last_hidden_state
    loss = torch.nn.functional.cross_entropy(model(x.T).logits.reshape(-1, V), y.T.reshape(-1), ignore_index=-1)
    loss.backward()
    parameters = dict(model.transformer.named_parameters())

    def letters(of):
        found = {}
        for letter, name in GPT2.items():
            by_layer = [f"h.{l}.{name}" for l in range(layers)]
            found[letter] = of(parameters[name]) if name in parameters else np.stack([of(parameters[each]) for each in by_layer])
        return found if tie else found | {"U": of(model.lm_head.weight).T}

    return {
        **{f"theta.{name}": value.astype(np.float32) for name, value in letters(numbers).items()},
        **{f"gradient.{name}": value for name, value in letters(lambda p: numbers(p.grad)).items()},
        "x": numbers(x),
        "y": numbers(y),
        "h": numbers(h).swapaxes(0, 1),
        "loss": numbers(loss),
    }


if __name__ == "__main__":
    for layers in (1, 2):
        np.savez(FOLDER / f"rnn_{layers}.npz", **recurrent(torch.nn.RNN, layers))
        np.savez(FOLDER / f"lstm_{layers}.npz", **recurrent(torch.nn.LSTM, layers))
    np.savez(FOLDER / "cross_entropy.npz", **cross_entropy())
    np.savez(FOLDER / "embedding.npz", **embedding())
    np.savez(FOLDER / "layernorm.npz", **layernorm())
    np.savez(FOLDER / "gelu.npz", **gelu())
    np.savez(FOLDER / "attention.npz", **attention())
    np.savez(FOLDER / "gpt2_tied.npz", **gpt2(2, tie=True))
    np.savez(FOLDER / "gpt2_untied.npz", **gpt2(1, tie=False))
