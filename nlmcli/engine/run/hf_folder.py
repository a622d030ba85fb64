"""Hugging Face folders as runs: GPT2LMHeadModel as a Transformer, MambaForCausalLM as Mamba, with their tokenizer.

The arrays come from safetensors files, which run no code; a pickle (.bin, .pt) is never opened. Only computations that are nlm's
are read: another activation, normalization or layout is refused.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nlmcli.engine.run.language_model import LanguageModel, build
from nlmcli.engine.run.safetensors import Tensors
from nlmcli.engine.run.settings import Settings
from nlmcli.errors import InputError
from nlmcli.models.mamba import WIDTH, N
from nlmcli.nn.mapped import release
from nlmcli.nn.params import Params
from nlmcli.text.tokenizer import Tokenizer
from nlmcli.text.tokenizer_json import from_any_json

CONFIG, WEIGHTS, INDEX, TOKENIZER = "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
CONVERT = "transformers.AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
GPT2 = {
    **{"ga": "ln_1.weight", "ba": "ln_1.bias", "Wqkv": "attn.c_attn.weight", "bqkv": "attn.c_attn.bias"},
    **{"Wo": "attn.c_proj.weight", "bo": "attn.c_proj.bias", "gm": "ln_2.weight", "bm": "ln_2.bias"},
    **{"W1": "mlp.c_fc.weight", "b1": "mlp.c_fc.bias", "W2": "mlp.c_proj.weight", "b2": "mlp.c_proj.bias"},
}


def is_folder(path: Path) -> bool:
    """Whether it is such a folder, and no run of nlm."""
    return (path / CONFIG).is_file() and not any((path / name).exists() for name in ("best.npz", "last.npz"))


def read_folder(path: Path) -> LanguageModel:
    """The model in a folder.  Raises InputError if something is missing, damaged, or not what nlm computes."""
    config = read_json(path, CONFIG)
    kind = config.get("model_type")
    if kind not in ("gpt2", "mamba"):
        raise InputError(f"{path / CONFIG}: nlm reads models of type gpt2 and mamba, not {kind!r}")
    tokenizer = read_tokenizer(path, config)
    tensors = Weights(path)
    options = gpt2_options(path, config, tensors) if kind == "gpt2" else mamba_options(path, config, tensors)
    by = "line" if config.get("eos_token_id") == tokenizer.newline else "stream"
    settings = Settings.of(tokenizer=tokenizer.name, by=by, lowercase=tokenizer.lowercase, **options)
    model = build(settings, tokenizer)
    P = Params(model.shapes())
    fill(P, gpt2_arrays(P, tensors) if kind == "gpt2" else mamba_arrays(P, tensors), tensors)
    return LanguageModel(model, P, tokenizer, settings, {"imported": str(path), "step": 0})


class Weights:
    """The arrays of a folder, from one file or several; names without the prefix of the model."""

    def __init__(self, path: Path):
        self.path, self.files = path, dict[str, Tensors]()
        for name in weight_files(path):
            tensors = Tensors(inside(path, name))
            self.files |= dict.fromkeys((without_prefix(each) for each in tensors), tensors)
        self.full_names = {without_prefix(each): each for tensors in self.files.values() for each in tensors}

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.files:
            raise InputError(f"{self.path} lacks the array {name}; it is not complete")
        return self.files[name][self.full_names[name]]

    def forget(self) -> None:
        """Release the memory of what was read: it stays in the files."""
        for tensors in self.files.values():
            release(tensors.data)


def without_prefix(name: str) -> str:
    return name.removeprefix("transformer.").removeprefix("backbone.")


def weight_files(path: Path) -> list[str]:
    """The names of the files that hold the arrays."""
    if (path / WEIGHTS).exists() or (path / WEIGHTS).is_symlink():
        return [WEIGHTS]
    if (path / INDEX).exists():
        names = read_json(path, INDEX).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise InputError(f"{path / INDEX} does not say which file holds which array")
        return sorted(set(names.values()))
    pickles = [entry.name for entry in path.iterdir() if entry.suffix in (".bin", ".pt", ".pth", ".ckpt")]
    if pickles:
        raise InputError(f"{path / pickles[0]} is a pickle, which may run any code, and is not opened; convert it in Python: {CONVERT}")
    raise InputError(f"{path} has no {WEIGHTS}")


def inside(path: Path, name: str) -> Path:
    """The file of this name.  Raises InputError if it does not lie in the folder."""
    file = path / name
    if Path(name).name != name or file.resolve().parent != path.resolve():
        raise InputError(f"{path}: {name} leads out of the folder; copy the file into it")
    return file


def read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(inside(path, name).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path / name} ({(error.strerror or str(error)).lower()})") from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path / name} is not a JSON document of names and values")
    return value


def read_tokenizer(path: Path, config: dict[str, Any]) -> Tokenizer:
    """The tokenizer; bos_token_id stands before a text."""
    tokenizer = from_any_json(read_json(path, TOKENIZER), str(path / TOKENIZER), whole(path, config, "vocab_size"))
    start = config.get("bos_token_id")
    if isinstance(start, int) and start != tokenizer.newline:
        if not 0 <= start < len(tokenizer) or tokenizer.name != "bpe":
            raise InputError(f"{path / CONFIG}: bos_token_id {start} is no token that nlm could begin a text with")
        saved = tokenizer.to_dict()
        tokenizer = type(tokenizer).from_dict(saved | {"start_token": tokenizer.vocabulary[start]})
    return tokenizer


def whole(path: Path, config: dict[str, Any], name: str, default: int | None = None) -> int:
    """A number of the configuration, at least 1."""
    value = config.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{path / CONFIG}: {name} is {value!r}, not a number from 1 on")
    return value


def require(path: Path, config: dict[str, Any], **expected: tuple[Any, ...]) -> None:
    """Raises InputError for a setting that nlm's computation does not have.  expected: the values, the first of which is the default"""
    for name, values in expected.items():
        if config.get(name, values[0]) not in values:
            raise InputError(f"{path / CONFIG}: {name} is {config[name]!r}, and nlm computes {values[0]!r}")


def gpt2_options(path: Path, config: dict[str, Any], tensors: Weights) -> dict[str, Any]:
    require(path, config, activation_function=("gelu_new", "gelu_pytorch_tanh"), layer_norm_epsilon=(1e-5,), scale_attn_weights=(True,))
    require(path, config, scale_attn_by_inverse_layer_idx=(False,), add_cross_attention=(False,))
    D, layers = whole(path, config, "n_embd"), whole(path, config, "n_layer")
    sizes = {"embed": D, "layers": layers, "heads": whole(path, config, "n_head"), "hidden": whole(path, config, "n_inner", 4 * D)}
    tie = "lm_head.weight" not in tensors or bool(config.get("tie_word_embeddings", True))
    return {"model": "transformer", **sizes, "context": whole(path, config, "n_positions"), "tie": tie}


def gpt2_arrays(P: Params, tensors: Weights) -> Iterator[tuple[np.ndarray, str, np.ndarray]]:
    """(where it goes, its name, what it is) of each array."""
    for letter, name in {"E": "wte.weight", "Ep": "wpe.weight", "gf": "ln_f.weight", "bf": "ln_f.bias"}.items():
        yield P[letter], name, tensors[name]
    for l in range(len(P.ga)):
        for letter, name in GPT2.items():
            yield P[letter][l], f"h.{l}.{name}", tensors[f"h.{l}.{name}"]
    if "U" in P.shapes:
        yield P.U, "lm_head.weight", tensors["lm_head.weight"].T


def mamba_options(path: Path, config: dict[str, Any], tensors: Weights) -> dict[str, Any]:
    require(path, config, state_size=(N,), conv_kernel=(WIDTH,), use_bias=(False,), use_conv_bias=(True,), hidden_act=("silu",))
    require(path, config, layer_norm_epsilon=(1e-5,), rms_norm=(True,))
    D = whole(path, config, "hidden_size")
    rank = config.get("time_step_rank", "auto")
    if rank not in ("auto", -(-D // 16)):
        raise InputError(f"{path / CONFIG}: time_step_rank is {rank!r}, and nlm computes {-(-D // 16)}")
    hidden = whole(path, config, "intermediate_size", D * whole(path, config, "expand", 2))
    tie = "lm_head.weight" not in tensors or bool(config.get("tie_word_embeddings", True))
    layers = whole(path, config, "num_hidden_layers")
    return {"model": "mamba", "embed": D, "hidden": hidden, "layers": layers, "tie": tie, "output_bias": False}


def mamba_arrays(P: Params, tensors: Weights) -> Iterator[tuple[np.ndarray, str, np.ndarray]]:
    """(where it goes, its name, what it is) of each array."""
    yield P.E, "embeddings.weight", tensors["embeddings.weight"]
    yield P.gf, "norm_f.weight", tensors["norm_f.weight"]
    if "U" in P.shapes:
        yield P.U, "lm_head.weight", tensors["lm_head.weight"].T
    H, R = P.Wx.shape[2], P.W1.shape[2]
    for l in range(len(P.g)):
        names = {name: f"layers.{l}.mixer.{name}" for name in ("in_proj.weight", "conv1d.weight", "conv1d.bias", "x_proj.weight")}
        names |= {name: f"layers.{l}.mixer.{name}" for name in ("dt_proj.weight", "dt_proj.bias", "A_log", "D", "out_proj.weight")}
        of = {name: tensors[full] for name, full in names.items()}
        yield P.g[l], f"layers.{l}.norm.weight", tensors[f"layers.{l}.norm.weight"]
        parts = {
            "in_proj.weight": (P.Wx[l], of["in_proj.weight"][:H].T),
            "conv1d.weight": (P.K[l], of["conv1d.weight"].reshape(len(of["conv1d.weight"]), -1).T),
            "conv1d.bias": (P.bK[l], of["conv1d.bias"]),
            "x_proj.weight": (P.W1[l], of["x_proj.weight"][:R].T),
            "dt_proj.weight": (P.W2[l], of["dt_proj.weight"].T),
            "dt_proj.bias": (P.b1[l], of["dt_proj.bias"]),
            "A_log": (P.lnA[l], of["A_log"].T),
            "D": (P.D[l], of["D"]),
            "out_proj.weight": (P.Wo[l], of["out_proj.weight"].T),
        }
        yield from ((target, names[name], array) for name, (target, array) in parts.items())
        yield P.Wz[l], names["in_proj.weight"], of["in_proj.weight"][H:].T
        yield P.WB[l], names["x_proj.weight"], of["x_proj.weight"][R : R + N].T
        yield P.WC[l], names["x_proj.weight"], of["x_proj.weight"][R + N :].T


def fill(P: Params, arrays: Iterator[tuple[np.ndarray, str, np.ndarray]], tensors: Weights) -> None:
    """Copy all arrays.  Raises InputError for one of another shape, or with numbers that are not finite."""
    for target, name, array in arrays:
        if array.shape != target.shape:
            raise InputError(f"{tensors.path}: {name} has the shape {array.shape}, where the configuration says {target.shape}")
        target[...] = array
        if not np.isfinite(target).all():
            raise InputError(f"{tensors.path}: {name} has numbers that are not finite")
        tensors.forget()
