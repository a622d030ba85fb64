"""Tokenizers as files of JSON: a byte-level BPE as tokenizer.json, any other as its to_dict()."""

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
    """The tokenizer in a file.  Raises InputError where there is none."""
    try:
        saved = json.loads(corpus.read(path))
    except (json.JSONDecodeError, RecursionError):
        raise InputError(f"'{path}' is not JSON; give a file that nlm tokenize --out has written") from None
    if isinstance(saved, dict) and "model" in saved:
        from nlmcli.text.tokenizer_json import from_json

        return from_json(saved, path)
    try:
        return from_dict(saved)
    except (TypeError, ValueError) as error:
        why = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(f"'{path}' holds no tokenizer{why}; give a file that nlm tokenize --out has written") from None


def to_json(tokenizer: Tokenizer) -> str:
    """The contents of its file."""
    if tokenizer.name == "bpe":
        from nlmcli.text import tokenizer_json
        from nlmcli.text.tokenizers import bpe

        return json.dumps(tokenizer_json.to_json(cast(bpe.Bpe, tokenizer)), ensure_ascii=False, indent=1) + "\n"
    return json.dumps(tokenizer.to_dict(), indent=1) + "\n"


def learns(name: str) -> bool:
    """Whether the tokenizer of this name has to learn from a text what pieces there are.  Raises InputError for an unknown one."""
    return not name.endswith(ENDING) and TOKENIZERS.get(name).learned


def fit(
    name: str, text: str | Iterable[str], vocab_size: int | None = None, min_count: int | None = None, lowercase: bool = False
) -> Tokenizer:
    """The tokenizer of this name, fitted on a text; or that in the file of this name, its counts those of the text.

    Raises InputError for an unknown name, and for options that a file has decided.
    """
    if not name.endswith(ENDING):
        return TOKENIZERS.get(name).fit(text, vocab_size=vocab_size, min_count=min_count, lowercase=lowercase)
    for option, given in (("--vocab-size", vocab_size), ("--min-count", min_count), ("--lowercase", lowercase or None)):
        if given is not None:
            raise InputError(f"{option} is for a tokenizer that is yet to be fitted; '{name}' has its own, so leave it out")
    return load(name).counting(text)
