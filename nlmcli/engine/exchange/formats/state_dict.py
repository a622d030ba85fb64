"""A recurrent network with the names and the layout of torch.nn.RNN, LSTM and GRU, as safetensors.

PyTorch's matrices are nlm's transposed. It adds two biases where nlm has one; the second is 0, except for n of a GRU, which
multiplies it by r.
"""

import numpy as np

from nlmcli.engine.exchange.format import Format
from nlmcli.engine.run import safetensors
from nlmcli.errors import InputError

MODELS = ("rnn", "lstm", "gru")


class StateDict(Format):
    """embedding.*, then rnn.*, lstm.* or gru.*, then output.*; projection.* between them if tied embeddings are narrower than h."""

    about = "rnn, lstm or gru with PyTorch's names and layout, as safetensors: torch.nn.RNN, LSTM, GRU"
    endings = (".safetensors",)
    usage = 'safetensors.torch.load_file("{path}")'

    def check(self, run):
        model = run.settings.model
        if model not in MODELS or run.settings.task != "generate":
            raise InputError(f"a run of --model {model} --task {run.settings.task} is no language model of {', '.join(MODELS)}")
        if run.model.cutoffs:
            raise InputError("PyTorch's adaptive softmax has no biases in its clusters, and this model does; train with --softmax full")

    def files(self, run):
        return {"": safetensors.writer(state_dict(run))}


def state_dict(run) -> dict[str, np.ndarray]:
    """name -> array, as in PyTorch."""
    P, name = run.P, run.settings.model
    tensors = {"embedding.weight": P.E}
    for l in range(run.settings.model_config().layers):
        second = np.zeros_like(P.b1[l])
        if name == "gru":
            second[-P.bn.shape[1] :] = P.bn[l]
        tensors |= {
            f"{name}.weight_ih_l{l}": (P.Wx[l - 1] if l else P.We).T,
            f"{name}.weight_hh_l{l}": P.Wh[l].T,
            f"{name}.bias_ih_l{l}": P.b1[l],
            f"{name}.bias_hh_l{l}": second,
        }
    if "Wp" in P.shapes:
        tensors["projection.weight"] = P.Wp.T
    U, b2 = run.model.head(P)
    return tensors | {"output.weight": U.T, "output.bias": b2}
