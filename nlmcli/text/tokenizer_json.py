"""Byte-level BPE as the file tokenizer.json of Hugging Face's `tokenizers`: that library reads ours, and we read its.

Its tokens are written with a visible character for each byte, GPT-2's way: the bytes that are a visible character of
Latin-1 as that, the others, in order, as U+0100 and on. Space is Ġ and the line end Ċ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nlmcli.errors import InputError
from nlmcli.text.tokenizers.bpe import ALPHABET, PRINTABLE, Bpe, text_of

LETTERS = [*map(chr, PRINTABLE), *map(chr, range(0x100, 0x200 - len(PRINTABLE)))]  # in the order of ALPHABET
LETTER_OF = dict(zip(ALPHABET.tolist(), LETTERS, strict=True))
BYTE_OF = {letter: byte for byte, letter in LETTER_OF.items()}

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPECIAL = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
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
WITHOUT = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")  # what changes ids if it is set


def to_json(tokenizer: Bpe) -> dict[str, Any]:
    """What stands in the file. The counts do not."""
    special = set(tokenizer.special)
    names = [
        piece if piece in special else "".join(map(LETTER_OF.__getitem__, token))
        for piece, token in zip(tokenizer.vocabulary, tokenizer.tokens, strict=True)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": tokenizer.index[piece], "content": piece, **SPECIAL} for piece in tokenizer.special],
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
    """The tokenizer in such a file.  Raises InputError, with the name of the file, for one of another kind.

    A special token keeps its id, but a text that reads like one is text.  A template that adds tokens is not followed.
    """
    try:
        check(saved, name)
        special = {token["content"]: token["id"] for token in saved.get("added_tokens") or []}
        ids = saved["model"]["vocab"] | special
        vocabulary = sorted(ids, key=ids.__getitem__)
        if [ids[piece] for piece in vocabulary] != list(range(len(ids))):
            raise InputError(f"the ids in '{name}' have gaps; give a file whose vocabulary is numbered 0, 1, 2, ...")
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in saved["model"]["merges"])
        return Bpe(
            [piece if piece in special else text_of(bytes(map(BYTE_OF.__getitem__, piece))) for piece in vocabulary],
            np.zeros(len(ids)),
            merges=[(ids[left], ids[right]) for left, right in pairs],
            special=special,
            lowercase=saved.get("normalizer") is not None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{name}' is not a whole tokenizer.json of a byte-level BPE; make one with: nlm tokenize --out") from None


def check(saved: Mapping[str, Any], name: str) -> None:
    """Raises InputError for a tokenizer that would not give the same ids here."""
    model, parts = saved["model"], {part: saved.get(part) or {"type": None} for part in ("normalizer", "pre_tokenizer", "decoder")}
    kinds = {part: value["type"] for part, value in parts.items()}
    byte_level = parts["pre_tokenizer"]
    wrong = [
        (model["type"] != "BPE", f"model is {model['type']}, not BPE"),
        (kinds["pre_tokenizer"] != "ByteLevel", f"pre_tokenizer is {kinds['pre_tokenizer']}, not ByteLevel"),
        (kinds["decoder"] != "ByteLevel", f"decoder is {kinds['decoder']}, not ByteLevel"),
        (kinds["normalizer"] not in (None, "Lowercase"), f"normalizer is {kinds['normalizer']}"),
        (bool(byte_level.get("add_prefix_space")), "pre_tokenizer adds a blank before the text (add_prefix_space)"),
        (not byte_level.get("use_regex", True), "pre_tokenizer does not cut as GPT-2 does (use_regex)"),
        *((bool(model.get(option)), f"model has {option}") for option in WITHOUT),
        (not all(token["special"] for token in saved.get("added_tokens") or []), "added tokens are not all special"),
        (not set(LETTERS) <= set(model["vocab"]), "vocabulary lacks some of the 256 bytes (initial_alphabet)"),
    ]
    for is_wrong, why in wrong:
        if is_wrong:
            raise InputError(f"'{name}' is not a byte-level BPE that nlm can follow: its {why}; make one with: nlm tokenize --out")
