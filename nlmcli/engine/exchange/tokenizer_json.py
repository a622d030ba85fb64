"""Any tokenizer as tokenizer.json, the format of Hugging Face's `tokenizers`, with the end of line that nlm reads before a text.

char: BPE without merges, one token a character.   byte: the same of bytes.   bpe: as it is (text/tokenizer_json.py).
whitespace, word: a lookup of whole words, between blanks. For word, a text must already be split as nlm splits it.
"""

from typing import Any, cast

from nlmcli.text.tokenizer import UNKNOWN, Tokenizer
from nlmcli.text.tokenizer_json import BYTE_LEVEL, BYTE_TO_UNICODE, MODEL, to_json
from nlmcli.text.tokenizers.bpe import Bpe


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The contents of the file."""
    whole = to_json(cast(Bpe, tokenizer)) if tokenizer.name == "bpe" else basis(tokenizer) | KINDS[tokenizer.name](tokenizer)
    name = start_name(tokenizer)
    first, text = {"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    pair = [first, text, {"Sequence": {"id": "B", "type_id": 0}}]
    tokens = {name: {"id": name, "ids": [tokenizer.start], "tokens": [name]}}
    return whole | {"post_processor": {"type": "TemplateProcessing", "single": [first, text], "pair": pair, "special_tokens": tokens}}


def start_name(tokenizer: Tokenizer) -> str:
    """What stands before a text, as the file names it: the end of line, or a token of its own."""
    if tokenizer.start != tokenizer.newline:
        return tokenizer.vocabulary[tokenizer.start]
    return BYTE_TO_UNICODE[10] if tokenizer.name in ("bpe", "byte") else tokenizer.line_end


def basis(tokenizer: Tokenizer) -> dict[str, Any]:
    """What the files of all tokenizers have in common."""
    lowercase = {"type": "Lowercase"} if tokenizer.lowercase else None
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": lowercase, "post_processor": None}


def by_character(tokenizer: Tokenizer) -> dict[str, Any]:
    model = MODEL | {"vocab": dict(tokenizer.index), "merges": [], "unk_token": UNKNOWN}
    return {"pre_tokenizer": None, "decoder": {"type": "Fuse"}, "model": model}


def by_byte(tokenizer: Tokenizer) -> dict[str, Any]:
    model = MODEL | {"vocab": {BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, "merges": []}
    return {"pre_tokenizer": BYTE_LEVEL | {"use_regex": False}, "decoder": BYTE_LEVEL, "model": model}


def by_word(tokenizer: Tokenizer) -> dict[str, Any]:
    """Line breaks become the end of line, a word of its own."""
    breaks = {"type": "Replace", "pattern": {"String": "\n"}, "content": f" {tokenizer.line_end} "}
    lowercase = [{"type": "Lowercase"}] if tokenizer.lowercase else []
    model = {"type": "WordLevel", "vocab": dict(tokenizer.index), "unk_token": UNKNOWN}
    normalizer = {"type": "Sequence", "normalizers": [*lowercase, breaks]}
    return {"normalizer": normalizer, "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": None, "model": model}


KINDS = {"char": by_character, "byte": by_byte, "whitespace": by_word, "word": by_word}
