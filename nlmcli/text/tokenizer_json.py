"""Byte-level BPE as tokenizer.json, the file format of Hugging Face's `tokenizers`: each library reads the other's files.

Tokens are written with one visible character per byte, as in GPT-2's bytes_to_unicode: a byte that is a visible character of
Latin-1 as itself, the others, in order, as U+0100 and up. Space is Ġ and the line break Ċ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlmcli.errors import InputError
from nlmcli.text.tokenizer import Tokenizer
from nlmcli.text.tokenizers.bpe import ALPHABET, PRINTABLE, Bpe, token_to_text
from nlmcli.text.tokenizers.byte import Byte
from nlmcli.text.tokenizers.char import Char
from nlmcli.text.tokenizers.whitespace import Whitespace

CHARACTERS = [*map(chr, PRINTABLE), *map(chr, range(0x100, 0x200 - len(PRINTABLE)))]  # in the order of ALPHABET
BYTE_TO_UNICODE = dict(zip(ALPHABET.tolist(), CHARACTERS, strict=True))
UNICODE_TO_BYTE = {character: byte for byte, character in BYTE_TO_UNICODE.items()}

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPECIAL_TOKEN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
MODEL = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}
UNSUPPORTED = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")  # model options that change ids


def to_json(tokenizer: Bpe) -> dict[str, Any]:
    """The contents of the file; it does not contain the counts."""
    special = set(tokenizer.special)
    names = [
        piece if piece in special else "".join(map(BYTE_TO_UNICODE.__getitem__, token))
        for piece, token in zip(tokenizer.vocabulary, tokenizer.tokens, strict=True)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": tokenizer.index[piece], "content": piece, **SPECIAL_TOKEN} for piece in tokenizer.special],
        "normalizer": {"type": "Lowercase"} if tokenizer.lowercase else None,
        "pre_tokenizer": BYTE_LEVEL,
        "post_processor": None,
        "decoder": BYTE_LEVEL,
        "model": MODEL
        | {
            "vocab": {name: i for i, name in enumerate(names)},
            "merges": [f"{names[left]} {names[right]}" for left, right in tokenizer.merges],
        },
    }


def from_json(saved: Mapping[str, Any], name: str) -> Bpe:
    """The tokenizer in the contents of a file with this name.  Raises InputError if it is not a supported byte-level BPE.

    Special tokens keep their ids, but encoding never produces them.  A post-processor that adds tokens is ignored.
    """
    try:
        check_supported(saved, name)
        special = {token["content"]: token["id"] for token in saved.get("added_tokens") or []}
        ids = saved["model"]["vocab"] | special
        vocabulary = sorted(ids, key=ids.__getitem__)
        if [ids[piece] for piece in vocabulary] != list(range(len(ids))):
            raise InputError(f"the ids in '{name}' have gaps; give a file with consecutive ids 0, 1, 2, ...")
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in saved["model"]["merges"])
        return Bpe(
            [piece if piece in special else token_to_text(bytes(map(UNICODE_TO_BYTE.__getitem__, piece))) for piece in vocabulary],
            np.zeros(len(ids)),
            merges=[(ids[left], ids[right]) for left, right in pairs],
            special=special,
            lowercase=saved.get("normalizer") is not None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{name}' is not a complete tokenizer.json of a byte-level BPE; make one with: nlm tokenize --out") from None


def from_any_json(saved: Mapping[str, Any], name: str, size: int) -> Tokenizer:
    """The tokenizer in the contents of a file: characters, bytes, words between blanks, or a byte-level BPE.

    size: of the vocabulary that a model has; what the tokenizer lacks of it are tokens that encoding never produces.
    Raises InputError if nlm cannot reproduce its ids.
    """
    try:
        model, before, decoder = saved["model"], saved.get("pre_tokenizer") or {}, saved.get("decoder") or {}
        kind = "bpe"
        if model["type"] == "WordLevel" and before.get("type") == "WhitespaceSplit":
            kind = "whitespace"
        elif model["type"] == "BPE" and not model["merges"]:
            kind = {"Fuse": "char", "ByteLevel": "byte" if before.get("use_regex") is False else "bpe"}.get(str(decoder.get("type")), "bpe")
        lowercase = "Lowercase" in json.dumps(saved.get("normalizer"))
        if kind == "bpe":
            return padded(saved, name, size)
        vocabulary = Byte.reserved if kind == "byte" else sorted(model["vocab"], key=model["vocab"].__getitem__)
        kinds: dict[str, type[Char] | type[Byte] | type[Whitespace]] = {"char": Char, "byte": Byte, "whitespace": Whitespace}
        tokenizer = kinds[kind](vocabulary, np.zeros(len(vocabulary)), lowercase=lowercase)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{name}' is not a complete tokenizer.json") from None
    if len(tokenizer) != size:
        raise InputError(f"'{name}' has {len(tokenizer):,} tokens, and the model {size:,}")
    return tokenizer


def padded(saved: Mapping[str, Any], name: str, size: int) -> Bpe:
    """A byte-level BPE with as many tokens as a model has; published models often have some more than their tokenizer."""
    known = len(saved["model"]["vocab"].keys() | {token["content"] for token in saved.get("added_tokens") or []})
    if known > size:
        raise InputError(f"'{name}' has {known:,} tokens, and the model {size:,}")
    unused = [{"id": i, "content": f"<|unused{i}|>", "special": True} for i in range(known, size)]
    return from_json({**saved, "added_tokens": [*(saved.get("added_tokens") or []), *unused]}, name)


def check_supported(saved: Mapping[str, Any], name: str) -> None:
    """Raises InputError for a tokenizer whose ids nlm cannot reproduce."""
    model, parts = saved["model"], {part: saved.get(part) or {"type": None} for part in ("normalizer", "pre_tokenizer", "decoder")}
    kinds = {part: value["type"] for part, value in parts.items()}
    byte_level = parts["pre_tokenizer"]
    problems = [
        (model["type"] != "BPE", f"model is {model['type']}, not BPE"),
        (kinds["pre_tokenizer"] != "ByteLevel", f"pre_tokenizer is {kinds['pre_tokenizer']}, not ByteLevel"),
        (kinds["decoder"] != "ByteLevel", f"decoder is {kinds['decoder']}, not ByteLevel"),
        (kinds["normalizer"] not in (None, "Lowercase"), f"normalizer is {kinds['normalizer']}"),
        (bool(byte_level.get("add_prefix_space")), "pre_tokenizer adds a space before the text (add_prefix_space)"),
        (not byte_level.get("use_regex", True), "pre_tokenizer does not split as GPT-2 does (use_regex)"),
        *((bool(model.get(option)), f"model has {option}") for option in UNSUPPORTED),
        (not all(token["special"] for token in saved.get("added_tokens") or []), "added tokens are not all special"),
        (not set(CHARACTERS) <= set(model["vocab"]), "vocabulary lacks some of the 256 bytes (initial_alphabet)"),
    ]
    for is_present, problem in problems:
        if is_present:
            raise InputError(f"'{name}' is not a byte-level BPE that nlm supports: its {problem}; make one with: nlm tokenize --out")
