"""One tokenizer per file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlmcli.errors import InputError
from nlmcli.registry import Registry

if TYPE_CHECKING:
    from nlmcli.text.tokenizer import Tokenizer

TOKENIZERS: Registry[Tokenizer] = Registry("tokenizer", __name__, "nlmcli.text.tokenizer:Tokenizer")


def from_dict(saved: dict[str, Any]) -> Tokenizer:
    """The tokenizer saved by `to_dict`.  Raises InputError for anything else."""
    if not isinstance(saved, dict) or not isinstance(saved.get("name"), str):
        raise InputError("a saved tokenizer needs a 'name'; give a dictionary returned by to_dict()")
    return TOKENIZERS.get(saved["name"]).from_dict(saved)
