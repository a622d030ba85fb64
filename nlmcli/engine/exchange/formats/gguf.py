"""GGUF, the format of llama.cpp: a Transformer with a bpe tokenizer, as GPT-2, in one file.

    "GGUF", version, number of tensors, number of keys;   keys and values;   names, shapes and offsets;   the tensors, each aligned

llama.cpp needs a token that ends a text. Read by line, it is the end of a line; as one stream, one that the training text does not
have, so that it is hardly ever generated.  github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from typing import IO, Any

import numpy as np

from nlmcli.engine.exchange.format import Format
from nlmcli.errors import InputError
from nlmcli.text.tokenizer_json import to_json

VERSION, ALIGNMENT, FLOAT32 = 3, 32, 0
UINT32, INT32, FLOAT, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # the types of values
PACKED = {UINT32: "<I", INT32: "<i", FLOAT: "<f", BOOL: "<?"}
NORMAL = 1  # the type of every token

LAYER = {
    **{"ga": "attn_norm.weight", "ba": "attn_norm.bias", "Wqkv": "attn_qkv.weight", "bqkv": "attn_qkv.bias"},
    **{"Wo": "attn_output.weight", "bo": "attn_output.bias", "gm": "ffn_norm.weight", "bm": "ffn_norm.bias"},
    **{"W1": "ffn_up.weight", "b1": "ffn_up.bias", "W2": "ffn_down.weight", "b2": "ffn_down.bias"},
}


class Gguf(Format):
    """All parameters in float32, and the tokenizer."""

    about = "a transformer with a bpe tokenizer, as one file: llama.cpp"
    endings = (".gguf",)
    usage = 'llama_cpp.Llama("{path}")'

    def check(self, run):
        s = run.settings
        if s.model != "transformer" or s.task != "generate" or run.model.cutoffs:
            raise InputError(
                f"a run of --model {s.model} --task {s.task} is no GPT-2; give a language model of transformer with --softmax full"
            )
        if run.tokenizer.name != "bpe" or not run.tokenizer.merges:
            raise InputError(f"llama.cpp reads tokens of bpe, not of {run.tokenizer.name}; train with --tokenizer bpe")

    def files(self, run):
        keys, tensors = described(run), gpt2(run)

        def write(file: IO[bytes]) -> None:
            file.write(b"GGUF" + struct.pack("<IQQ", VERSION, len(tensors), len(keys)))
            for name, (kind, value) in keys.items():
                file.write(text(name) + struct.pack("<I", kind) + packed(kind, value))
            offset = 0
            for name, tensor in tensors.items():
                shape = struct.pack(f"<I{tensor.ndim}Q", tensor.ndim, *reversed(tensor.shape))
                file.write(text(name) + shape + struct.pack("<IQ", FLOAT32, offset))
                offset += aligned(tensor.nbytes)
            file.write(bytes(aligned(file.tell()) - file.tell()))
            for tensor in tensors.values():
                file.write(np.ascontiguousarray(tensor, np.float32).data.cast("B"))
                file.write(bytes(aligned(tensor.nbytes) - tensor.nbytes))

        return {"": write}


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def text(string: str) -> bytes:
    encoded = string.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def packed(kind: int, value: Any) -> bytes:
    """A value of this type; an array is (type of its elements, elements)."""
    if kind == STRING:
        return text(value)
    if kind == ARRAY:
        element, values = value
        return struct.pack("<IQ", element, len(values)) + b"".join(packed(element, each) for each in values)
    return struct.pack(PACKED[kind], value)


def described(run) -> dict[str, tuple[int, Any]]:
    """Architecture, sizes and tokenizer: key -> (type, value)."""
    c, tokenizer = run.model.config, run.tokenizer
    saved = to_json(tokenizer)["model"]
    sizes = {"context_length": c.context, "embedding_length": c.embed, "feed_forward_length": run.model.hidden}
    sizes |= {"block_count": c.layers, "attention.head_count": c.heads}
    end = tokenizer.newline if run.settings.by == "line" else int(np.argmin(tokenizer.counts))
    ids = {"bos_token_id": tokenizer.start, "eos_token_id": end}
    return {
        "general.architecture": (STRING, "gpt2"),
        "general.name": (STRING, "nlm"),
        "general.file_type": (UINT32, FLOAT32),
        **{f"gpt2.{name}": (UINT32, size) for name, size in sizes.items()},
        "gpt2.attention.layer_norm_epsilon": (FLOAT, 1e-5),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "gpt-2"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, sorted(saved["vocab"], key=saved["vocab"].__getitem__))),
        "tokenizer.ggml.token_type": (ARRAY, (INT32, [NORMAL] * len(tokenizer))),
        "tokenizer.ggml.merges": (ARRAY, (STRING, saved["merges"])),
        **{f"tokenizer.ggml.{name}": (UINT32, i) for name, i in ids.items()},
        "tokenizer.ggml.add_bos_token": (BOOL, True),
    }


def gpt2(run) -> dict[str, np.ndarray]:
    """name -> tensor; matrices are (outputs, inputs) there."""
    P, c = run.P, run.model.config
    tensors = {"token_embd.weight": P.E, "position_embd.weight": P.Ep, "output_norm.weight": P.gf, "output_norm.bias": P.bf}
    if not c.tie:
        tensors["output.weight"] = P.U.T
    for l in range(c.layers):
        tensors |= {f"blk.{l}.{name}": P[letter][l].T for letter, name in LAYER.items()}  # .T leaves vectors as they are
    return tensors
