"""Tokenizers as JSON files: a byte-level BPE as tokenizer.json, any other as its to_dict()."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import cast

from nlmcli.errors import InputError
from nlmcli.text import corpus
from nlmcli.text.tokenizer import Tokenizer
from nlmcli.text.tokenizers import TOKENIZERS, from_dict

ENDING = ".json"


def load(path: str) -> Tokenizer:
    """The tokenizer in a file.  Raises InputError if it contains none."""
    try:
        saved = json.loads(corpus.read(path))
    except (json.JSONDecodeError, RecursionError):
        raise InputError(f"'{path}' is not JSON; give a file written by nlm tokenize --out") from None
    if isinstance(saved, dict) and "model" in saved:
        from nlmcli.text.tokenizer_json import from_json

        return from_json(saved, path)
    try:
        return from_dict(saved)
    except (TypeError, ValueError) as error:
        why = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(f"'{path}' contains no tokenizer{why}; give a file written by nlm tokenize --out") from None


def to_json(tokenizer: Tokenizer) -> str:
    """The contents of the tokenizer's file."""
    if tokenizer.name == "bpe":
        from nlmcli.text import tokenizer_json
        from nlmcli.text.tokenizers import bpe

        return json.dumps(tokenizer_json.to_json(cast(bpe.Bpe, tokenizer)), ensure_ascii=False, indent=1) + "\n"
    return json.dumps(tokenizer.to_dict(), indent=1) + "\n"


def learns(name: str) -> bool:
    """Whether this tokenizer learns its segmentation from a text.  Raises InputError for an unknown name."""
    return not name.endswith(ENDING) and TOKENIZERS.get(name).learned


def fit(
    name: str, text: str | Iterable[str], vocab_size: int | None = None, min_count: int | None = None, lowercase: bool = False
) -> Tokenizer:
    """The tokenizer with this name, fitted on a text; or the one in the file with this name, with the counts of the text.

    Raises InputError for an unknown name, and for options that the file already determines.
    """
    if not name.endswith(ENDING):
        return TOKENIZERS.get(name).fit(text, vocab_size=vocab_size, min_count=min_count, lowercase=lowercase)
    for option, given in (("--vocab-size", vocab_size), ("--min-count", min_count), ("--lowercase", lowercase or None)):
        if given is not None:
            raise InputError(f"{option} applies only when a tokenizer is fitted; '{name}' has its own, so leave it out")
    return load(name).recount(text)
