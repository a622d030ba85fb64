"""Characters and bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.errors import InputError
from nlmcli.text.tokenizers.byte import Byte
from nlmcli.text.tokenizers.char import Char


@given(st.text(st.characters()))
def test_known_characters_round_trip(text):
    tokenizer = Char.fit(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert 0 not in tokenizer.encode(text)


@given(st.text(), st.text())
def test_encoding_is_a_lookup_of_each_character(training, text):
    tokenizer = Char.fit(training)
    assert tokenizer.encode(text).tolist() == [tokenizer.index.get(character, 0) for character in text]


def test_characters_above_the_known_ones_are_unknown():
    assert Char.fit("ab").encode("a\x7f\U0010ffff").tolist() == [1, 0, 0]


def test_a_char_vocabulary_contains_the_unknown_token_and_the_line_break():
    tokenizer = Char.fit("banana")
    assert tokenizer.vocabulary == ["<unk>", "a", "n", "b", "\n"]
    assert tokenizer.counts.tolist() == [0, 3, 2, 1, 0]
    assert (tokenizer.unknown, tokenizer.newline) == (0, 4)


def test_the_line_break_replaces_the_last_type_if_vocab_size_would_drop_it():
    tokenizer = Char.fit("aaabbc\n", vocab_size=3)
    assert tokenizer.vocabulary == ["<unk>", "a", "\n"]
    assert tokenizer.counts.tolist() == [3, 3, 1]


def test_a_char_vocabulary_contains_single_characters_only():
    with pytest.raises(InputError, match="must contain single characters, not 'ab'"):
        Char(["<unk>", "\n", "ab"], [0, 0, 0])


def test_printable_forms():
    tokenizer = Char.fit("a \t\n\u202e")
    forms = {tokenizer.piece(i) for i in range(len(tokenizer))}
    assert forms == {"<unk>", "a", "␣", r"\t", r"\n", r"\u202e"}


@given(st.text())
def test_byte_ids_are_utf8_bytes(text):
    tokenizer = Byte.fit(text)
    assert tokenizer.encode(text).tolist() == list(text.encode())
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer) == 256 and tokenizer.unknown is None and tokenizer.newline == 10


@given(st.lists(st.integers(0, 255)))
def test_any_byte_sequence_decodes(ids):
    assert Byte.fit("").decode(ids) == bytes(ids).decode(errors="replace")


def test_an_incomplete_character_decodes_to_the_replacement_character():
    assert Byte.fit("").decode(np.array([0x61, 0xE8, 0x9A])) == "a\ufffd"


def test_printable_forms_of_bytes():
    tokenizer = Byte.fit("")
    assert [tokenizer.piece(i) for i in (0, 10, 32, 65, 126, 127, 255)] == [
        "<0x00>", "<0x0A>", "<0x20>", "A", "~", "<0x7F>", "<0xFF>"
    ]  # fmt: skip
    assert len(set(tokenizer.vocabulary)) == 256


def test_the_byte_vocabulary_cannot_be_limited():
    assert len(Byte.fit("a", vocab_size=256, min_count=1)) == 256
    with pytest.raises(InputError, match="vocab-size 100 does not apply to the byte tokenizer"):
        Byte.fit("a", vocab_size=100)
    with pytest.raises(InputError, match="min-count 2 does not apply to the byte tokenizer"):
        Byte.fit("a", min_count=2)
