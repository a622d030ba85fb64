"""Generate the golden files with PyTorch and transformers: python tests/golden/make.py. The tests that read them need neither.

Weights and inputs are float32; PyTorch computes in float64, so that the golden values are accurate to 1e-12.
Matrices are stored as in nlm: row vectors, Y = XW, gates concatenated in PyTorch's order (i, f, g, o; r, z, n), and
PyTorch's two biases summed into one, except for n of a GRU, where r comes between them. Mamba is MambaForCausalLM of
the package transformers 5.23 (its code path without CUDA).
"""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from transformers import MambaConfig, MambaForCausalLM
from transformers.models.mamba.modeling_mamba import MambaRMSNorm

V, D, H, T, B = 7, 4, 5, 6, 3
FOLDER = Path(__file__).parent


def numbers(tensor):
    return tensor.detach().numpy()


def recurrent(kind, layers):
    """An Embedding, torch.nn.RNN, LSTM or GRU, a Linear and the cross-entropy: parameters, batch, outputs, gradients."""
    torch.manual_seed(layers)
    body = kind(D, H, layers).double()
    embeddings, head = torch.nn.Embedding(V, D).double(), torch.nn.Linear(H, V).double()
    with torch.no_grad():
        for parameter in (*body.parameters(), *embeddings.parameters(), *head.parameters()):
            parameter.copy_((0.5 * torch.randn(parameter.shape)).float().double())
        for l in range(layers):
            getattr(body, f"bias_hh_l{l}")[: 2 * H if kind is torch.nn.GRU else None].zero_()
    x, y = torch.randint(0, V, (2, T, B))
    y[1, 2] = -1
    arrays = 2 if kind is torch.nn.LSTM else 1
    state = [(0.5 * torch.randn(layers, B, H)).float().double() for _ in range(arrays)]
    h, after = body(embeddings(x), tuple(state) if arrays == 2 else state[0])
    loss = torch.nn.functional.cross_entropy(head(h).reshape(-1, V), y.reshape(-1), ignore_index=-1)
    loss.backward()
    after = after if arrays == 2 else (after,)

    def letters(of):
        hidden = [of(getattr(body, f"weight_hh_l{l}")).T for l in range(layers)]
        above = [of(getattr(body, f"weight_ih_l{l}")).T for l in range(1, layers)]
        biases = [of(getattr(body, f"bias_ih_l{l}")) for l in range(layers)]
        parameters = {"E": of(embeddings.weight), "We": of(body.weight_ih_l0).T, "Wh": np.stack(hidden), "b1": np.stack(biases)}
        parameters |= {"Wx": np.stack(above)} if above else {}
        parameters |= {"bn": np.stack([of(getattr(body, f"bias_hh_l{l}"))[2 * H :] for l in range(layers)])} if kind is torch.nn.GRU else {}
        return parameters | {"U": of(head.weight).T, "b2": of(head.bias)}

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


def adaptive_softmax(words=20, cutoffs=(5, 11), width=8):
    """torch.nn.AdaptiveLogSoftmaxWithLoss; in nlm, the logits of the clusters precede those of the words."""
    torch.manual_seed(15)
    layer = torch.nn.AdaptiveLogSoftmaxWithLoss(width, words, list(cutoffs), div_value=2.0, head_bias=True).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_((0.5 * torch.randn(parameter.shape)).float().double())
    h, targets = rounded(30, width), torch.randint(0, words, (30,))
    loss = layer(h, targets).loss
    loss.backward()

    def letters(of):
        first = cutoffs[0]
        weight, bias = of(layer.head.weight), of(layer.head.bias)
        theta = {"U": np.concatenate([weight[first:], weight[:first]]).T, "b": np.concatenate([bias[first:], bias[:first]])}
        for i, (reduction, output) in enumerate(layer.tail, 1):
            theta |= {f"R{i}": of(reduction.weight).T, f"U{i}": of(output.weight).T}
        return theta

    return {
        **{f"theta.{name}": value.astype(np.float32) for name, value in letters(numbers).items()},
        **{f"gradient.{name}": value for name, value in letters(lambda p: numbers(p.grad)).items()},
        **{"h": numbers(h).astype(np.float32), "dh": numbers(h.grad), "targets": numbers(targets), "loss": numbers(loss)},
        "log_p": numbers(layer.log_prob(h)),
    }


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
    """Twenty steps of torch.optim.AdamW: θ has 6 numbers with weight decay, 3 without, 5 with.  after (20,14)"""
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


def depthwise_convolution(width=4):
    """torch.nn.Conv1d with one group per channel, over (B,H,time); width - 1 steps precede the first."""
    torch.manual_seed(5)
    layer = torch.nn.Conv1d(H, H, width, groups=H).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter.float().double())
    x, dy = torch.randn(width - 1 + T, B, H).float().double().requires_grad_(), torch.randn(T, B, H).float().double()
    y = layer(x.permute(1, 2, 0)).permute(2, 0, 1)
    y.backward(dy)

    def letters(of):
        return {"x": of(x), "K": of(layer.weight)[:, 0].T, "b": of(layer.bias)}

    given = {name: value.astype(np.float32) for name, value in letters(numbers).items()}
    gradients = {f"d{name}": value for name, value in letters(lambda p: numbers(p.grad)).items()}
    return {**given, "dy": numbers(dy).astype(np.float32), "y": numbers(y), **gradients}


def mamba(layers=2, embed=17, channels=6):
    """The output matrix is a copy of the embeddings: the same logits as with tied weights, but separate gradients."""
    torch.manual_seed(6)
    sizes = {"vocab_size": V, "hidden_size": embed, "num_hidden_layers": layers}
    config = MambaConfig(**sizes, residual_in_fp32=False, tie_word_embeddings=False, bos_token_id=None, eos_token_id=None)
    config.intermediate_size = channels
    model = MambaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
        model.lm_head.weight.copy_(model.backbone.embeddings.weight)
    model.double()
    x, y = torch.randint(0, V, (2, T, B))
    y[1, 2] = -1
    with patch.object(torch.Tensor, "float", torch.Tensor.double), patch.object(MambaRMSNorm, "forward", norm_in_doubles):
        out = model.backbone(x.T, use_cache=True)
    h, cache = out.last_hidden_state.transpose(0, 1), out.cache_params.layers
    loss = torch.nn.functional.cross_entropy(model.lm_head(h).reshape(-1, V), y.reshape(-1), ignore_index=-1)
    loss.backward()
    return {
        **{f"theta.{name}": value.astype(np.float32) for name, value in mamba_letters(model, numbers).items()},
        **{f"gradient.{name}": value for name, value in mamba_letters(model, lambda p: numbers(p.grad)).items()},
        "after.0": np.stack([numbers(layer.conv_states[0])[..., 1:].swapaxes(1, 2) for layer in cache]),  # the last three
        "after.1": np.stack([numbers(layer.recurrent_states[0]).swapaxes(1, 2) for layer in cache]),
        "x": numbers(x),
        "y": numbers(y),
        "h": numbers(h),
        "loss": numbers(loss),
    }


def norm_in_doubles(self, x):
    """MambaRMSNorm of transformers without its rounding to float32."""
    return torch.nn.functional.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)


def mamba_letters(model, of):
    """The parameters of all layers, stacked, or their gradients; the matrix of a Linear is transposed, and split into its parts."""

    def letters(layer):
        mixer = layer.mixer
        Wx, Wz = np.split(of(mixer.in_proj.weight).T, 2, axis=1)
        rank = mixer.dt_proj.weight.shape[1]
        W1, WB, WC = np.split(of(mixer.x_proj.weight).T, (rank, rank + config.state_size), axis=1)
        K, bK = of(mixer.conv1d.weight)[:, 0].T, of(mixer.conv1d.bias)
        step = {"W1": W1, "W2": of(mixer.dt_proj.weight).T, "b1": of(mixer.dt_proj.bias), "lnA": of(mixer.A_log).T}
        outward = {"D": of(mixer.D), "Wo": of(mixer.out_proj.weight).T}
        return {"g": of(layer.norm.weight), "Wx": Wx, "Wz": Wz, "K": K, "bK": bK, "WB": WB, "WC": WC, **step, **outward}

    backbone, config = model.backbone, model.config
    layers = [letters(layer) for layer in backbone.layers]
    stacked = {name: np.stack([layer[name] for layer in layers]) for name in layers[0]}
    return {"E": of(backbone.embeddings.weight), **stacked, "gf": of(backbone.norm_f.weight), "U": of(model.lm_head.weight).T}


def rounded(*shape):
    """Random numbers that float32 holds exactly."""
    return (0.5 * torch.randn(*shape)).float().double().requires_grad_()


def taps(W):
    """W (2C,M), the rows of the earlier step first -> the weight (M,C,2) of a torch.nn.Conv1d."""
    return W.reshape(2, -1, W.shape[1]).permute(2, 1, 0)


def dilated_convolution(d=3):
    """One torch.nn.Conv1d over before and x, both (time, batch, channel) as everywhere in nlm."""
    torch.manual_seed(5)
    given = {"x": rounded(T, B, D), "before": rounded(d, B, D), "W": rounded(2 * D, H), "b": rounded(H)}
    layer, dy = torch.nn.Conv1d(D, H, 2, dilation=d).double(), rounded(T, B, H).detach()
    parameters = {"weight": taps(given["W"]), "bias": given["b"]}
    y = torch.func.functional_call(layer, parameters, torch.cat([given["before"], given["x"]]).permute(1, 2, 0)).permute(2, 0, 1)
    y.backward(dy)
    outputs = {"y": numbers(y), **{f"d{name}": numbers(value.grad) for name, value in given.items()}}
    return {name: numbers(value).astype(np.float32) for name, value in {**given, "dy": dy}.items()} | outputs


def cnn(dilations=(1, 2, 4, 1)):
    """The layers of a WaveNet as torch.nn.Conv1d with zero padding on the left, its loss and its gradients."""
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


def filled(module, scale=0.5):
    """The module in float64, its parameters random float32 numbers."""
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_((scale * torch.randn(parameter.shape)).float().double())
    return module


def given_and_gradients(named):
    """name -> value in float32, dname -> gradient."""
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
    """torch.nn.MultiheadAttention with a causal mask; its projections are identities, so that qkv is used as it is."""
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


GPT2 = {  # nlm's name: GPT-2's name, which for the parameters of a layer is prefixed by h.0, h.1, ...
    "E": "wte.weight", "Ep": "wpe.weight", "gf": "ln_f.weight", "bf": "ln_f.bias",
    "ga": "ln_1.weight", "ba": "ln_1.bias", "Wqkv": "attn.c_attn.weight", "bqkv": "attn.c_attn.bias",
    "Wo": "attn.c_proj.weight", "bo": "attn.c_proj.bias", "gm": "ln_2.weight", "bm": "ln_2.bias",
    "W1": "mlp.c_fc.weight", "b1": "mlp.c_fc.bias", "W2": "mlp.c_proj.weight", "b2": "mlp.c_proj.bias",
}  # fmt: skip


def gpt2(layers, tie):
    """GPT-2 with two heads on full blocks: parameters, batch, outputs, gradients."""
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
        values = {}
        for letter, name in GPT2.items():
            by_layer = [f"h.{l}.{name}" for l in range(layers)]
            values[letter] = of(parameters[name]) if name in parameters else np.stack([of(parameters[each]) for each in by_layer])
        return values if tie else values | {"U": of(model.lm_head.weight).T}

    return {
        **{f"theta.{name}": value.astype(np.float32) for name, value in letters(numbers).items()},
        **{f"gradient.{name}": value for name, value in letters(lambda p: numbers(p.grad)).items()},
        "x": numbers(x),
        "y": numbers(y),
        "h": numbers(h).swapaxes(0, 1),
        "loss": numbers(loss),
    }


def sigmoid_cross_entropy():
    torch.manual_seed(11)
    a, y = (4 * torch.randn(9)).float().double().requires_grad_(), torch.randint(0, 2, (9,))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(a, y.double())
    loss.backward()
    return {"y": numbers(y), "loss": numbers(loss), **given_and_gradients({"a": a})}


def smoothed_cross_entropy():
    torch.manual_seed(15)
    z, targets = rounded(9, 4), torch.randint(0, 4, (9,))
    loss = torch.nn.functional.cross_entropy(z, targets, label_smoothing=0.1)
    loss.backward()
    return {"targets": numbers(targets), "loss": numbers(loss), **given_and_gradients({"z": z})}


def squared_error():
    torch.manual_seed(12)
    y_hat, y = rounded(9), rounded(9)
    loss = torch.nn.functional.mse_loss(y_hat, y)
    loss.backward()
    return {"loss": numbers(loss), **given_and_gradients({"y_hat": y_hat, "y": y})}


def texts(lengths):
    """Ids of texts of these lengths that begin with an end of line, 1; -1 after their ends.  -> x (T,B), the steps that are real (T,B)"""
    real = torch.arange(max(lengths))[:, None] < torch.tensor(lengths)
    x = torch.where(real, torch.randint(2, V, real.shape), -1)
    x[0] = 1
    return x, real


def encoded(embeddings, body, x, real):
    """h (T,B,2H) of a bidirectional body that reads packed sequences: each text backward from its own end, and no padding."""
    packed = torch.nn.utils.rnn.pack_padded_sequence(embeddings(x.clamp(min=0)), real.sum(0), enforce_sorted=False)
    return torch.nn.utils.rnn.pad_packed_sequence(body(packed)[0])[0]


def bidirectional_letters(embeddings, body, head, of):
    """The parameters by nlm's names, or their gradients."""
    values = {"E": of(embeddings.weight)}
    for way, suffix in (("", ""), ("_back", "_reverse")):
        We, Wh, b1 = (of(getattr(body, f"{name}_l0{suffix}")) for name in ("weight_ih", "weight_hh", "bias_ih"))
        values |= {f"We{way}": We.T, f"Wh{way}": Wh.T[None], f"b1{way}": b1[None]}
    return values | {"W": of(head.weight).T, "b": of(head.bias)}


def labelled(lengths, labels, tags):
    """A bidirectional torch.nn.LSTM and a Linear: a label for the mean of the steps of each text, or for each step but the first."""
    torch.manual_seed(13 + labels + tags)
    embeddings, body, head = (
        filled(module) for module in (torch.nn.Embedding(V, D), torch.nn.LSTM(D, H, bidirectional=True), torch.nn.Linear(2 * H, labels))
    )
    with torch.no_grad():
        for suffix in ("", "_reverse"):
            getattr(body, f"bias_hh_l0{suffix}").zero_()
    x, real = texts(lengths)
    h = encoded(embeddings, body, x, real)
    if tags:
        y = torch.where(real & (torch.arange(len(x))[:, None] > 0), torch.randint(0, labels, x.shape), -1)
        a = head(h)
    else:
        y, a = torch.randint(0, labels, (1, len(lengths))), head(h.sum(0) / real.sum(0)[:, None])
    loss = torch.nn.functional.cross_entropy(a.reshape(-1, labels), y.reshape(-1), ignore_index=-1)
    loss.backward()
    answers = a[y >= 0] if tags else a
    return {
        **{f"theta.{name}": value.astype(np.float32) for name, value in bidirectional_letters(embeddings, body, head, numbers).items()},
        **{f"gradient.{name}": value for name, value in bidirectional_letters(embeddings, body, head, lambda p: numbers(p.grad)).items()},
        **{"x": numbers(x), "y": numbers(y), "h": numbers(h), "loss": numbers(loss), "p": numbers(torch.softmax(answers, 1))},
    }


def pair(labels=3):
    """Labels of pairs of texts, from the means u and v of their embeddings: [u; v; |u - v|; u v], a tanh layer and an output layer.

    The first rows of x are the first texts, the others the second ones.
    """
    torch.manual_seed(14)
    theta = {"E": rounded(V, D), "Wt": rounded(4 * D, D), "bt": rounded(D), "W": rounded(D, labels), "b": rounded(labels)}
    x, real = (torch.stack(parts) for parts in zip(texts([T, 2, 4]), texts([3, T, 4]), strict=True))
    embedded = torch.nn.functional.embedding(x.clamp(min=0), theta["E"]) * real[..., None]
    u, v = embedded.sum(1) / real.sum(1)[..., None]
    y = torch.randint(0, labels, (1, B))
    a = torch.tanh(torch.cat([u, v, (u - v).abs(), u * v], 1) @ theta["Wt"] + theta["bt"]) @ theta["W"] + theta["b"]
    loss = torch.nn.functional.cross_entropy(a, y[0])
    loss.backward()
    return {
        **{f"theta.{name}": numbers(value).astype(np.float32) for name, value in theta.items()},
        **{f"gradient.{name}": numbers(value.grad) for name, value in theta.items()},
        **{"x": numbers(x.flatten(0, 1)), "y": numbers(y), "loss": numbers(loss), "p": numbers(torch.softmax(a, 1))},
    }


if __name__ == "__main__":
    for layers in (1, 2):
        np.savez(FOLDER / f"rnn_{layers}.npz", **recurrent(torch.nn.RNN, layers))
        np.savez(FOLDER / f"lstm_{layers}.npz", **recurrent(torch.nn.LSTM, layers))
        np.savez(FOLDER / f"gru_{layers}.npz", **recurrent(torch.nn.GRU, layers))
    np.savez(FOLDER / "cross_entropy.npz", **cross_entropy())
    np.savez(FOLDER / "adaptive_softmax.npz", **adaptive_softmax())
    np.savez(FOLDER / "embedding.npz", **embedding())
    np.savez(FOLDER / "adamw.npz", **adamw())
    np.savez(FOLDER / "depthwise_convolution.npz", **depthwise_convolution())
    np.savez(FOLDER / "mamba.npz", **mamba())
    np.savez(FOLDER / "dilated_convolution.npz", **dilated_convolution())
    np.savez(FOLDER / "cnn.npz", **cnn())
    np.savez(FOLDER / "layernorm.npz", **layernorm())
    np.savez(FOLDER / "gelu.npz", **gelu())
    np.savez(FOLDER / "attention.npz", **attention())
    np.savez(FOLDER / "gpt2_tied.npz", **gpt2(2, tie=True))
    np.savez(FOLDER / "gpt2_untied.npz", **gpt2(1, tie=False))
    np.savez(FOLDER / "sigmoid_cross_entropy.npz", **sigmoid_cross_entropy())
    np.savez(FOLDER / "smoothed_cross_entropy.npz", **smoothed_cross_entropy())
    np.savez(FOLDER / "squared_error.npz", **squared_error())
    np.savez(FOLDER / "classify.npz", **labelled((T, 2, 4, 5), labels=3, tags=False))
    np.savez(FOLDER / "tag.npz", **labelled((4, T, 2, 5), labels=4, tags=True))
    np.savez(FOLDER / "pair.npz", **pair())
