"""Properties of every tokenizer, by name."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.errors import InputError, near, suggest
from nlmcli.text import strings
from nlmcli.text import tokenizer as tokenizer_module
from nlmcli.text.tokenizer import AFTER_LINE_END, AFTER_WHITESPACE, cut
from nlmcli.text.tokenizers import TOKENIZERS, from_dict, whitespace
from nlmcli.text.tokenizers.whitespace import Whitespace, split_whitespace

LECTURE = "the blue ants hated the red ants."
TEXT = "Der Ameisenbär, 蚂蚁 und \U0001f41c!\n\n" + LECTURE + "\n"
NAMES = ("bpe", "byte", "char", "whitespace", "word")

each_tokenizer = pytest.mark.parametrize("name", NAMES)
with_unknown = pytest.mark.parametrize("name", ("char", "whitespace", "word"))


def fit(name, text=TEXT, **options):
    return TOKENIZERS.get(name).fit(text, **options)


def test_the_package_is_the_registry():
    assert set(NAMES) <= set(TOKENIZERS.names())
    assert TOKENIZERS.names() == sorted(TOKENIZERS.names())
    for name in TOKENIZERS.names():
        assert TOKENIZERS.get(name).name == name


def test_an_unknown_name_is_rejected_with_a_suggestion():
    with pytest.raises(InputError, match=r"^unknown tokenizer 'wrod'; did you mean 'word'\?$"):
        TOKENIZERS.get("wrod")
    with pytest.raises(InputError, match=r"known: .*byte, char"):
        TOKENIZERS.get("corpus")


def test_suggestions():
    assert suggest("LSMT", ["gru", "lstm"]) == "; did you mean 'lstm'?"
    assert suggest("lsmt", ["GRU", "LSTM"]) == "; did you mean 'LSTM'?"
    assert suggest("xyz", (name for name in ["gru", "lstm"])) == "; known: gru, lstm"
    assert suggest("xyz", []) == near("xyz", ["gru"]) == ""


@each_tokenizer
def test_encoding_returns_int32_ids_in_the_vocabulary(name):
    tokenizer = fit(name)
    ids = tokenizer.encode(TEXT + "never seen\n")
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert ids.min() >= 0 and ids.max() < len(tokenizer) == len(tokenizer.vocabulary)


@each_tokenizer
def test_the_empty_text(name):
    tokenizer = fit(name, "")
    assert tokenizer.encode("").shape == (0,) and tokenizer.encode("").dtype == np.int32
    assert tokenizer.decode([]) == "" and tokenizer.pieces("") == []
    assert tokenizer.vocabulary[tokenizer.newline] and tokenizer.counts.sum() == 0


@each_tokenizer
def test_the_line_end_is_always_in_the_vocabulary(name):
    tokenizer = fit(name, "no line end", vocab_size=None if name in ("bpe", "byte") else 2)
    assert tokenizer.encode("\n").tolist() == [tokenizer.newline]
    assert tokenizer.decode([tokenizer.newline]) == "\n"
    assert tokenizer.counts[tokenizer.newline] == 0


@each_tokenizer
@pytest.mark.parametrize("options", [{}, {"lowercase": True}, {"min_count": 1}])
def test_counts_are_those_of_the_encoded_training_text(name, options):
    tokenizer = fit(name, TEXT * 3 + "once", **options)
    ids = tokenizer.encode(TEXT * 3 + "once")
    assert tokenizer.counts.dtype == np.int64
    assert tokenizer.counts.tolist() == np.bincount(ids, minlength=len(tokenizer)).tolist()


@each_tokenizer
@pytest.mark.parametrize("lowercase", [False, True])
def test_a_tokenizer_round_trips_through_json(name, lowercase):
    tokenizer = fit(name, lowercase=lowercase)
    saved = tokenizer.to_dict()
    loaded = from_dict(json.loads(json.dumps(saved)))
    assert type(loaded) is type(tokenizer) and loaded.to_dict() == saved
    assert (loaded.unknown, loaded.newline) == (tokenizer.unknown, tokenizer.newline)
    assert loaded.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()


@each_tokenizer
def test_an_invalid_dictionary_is_rejected(name):
    saved = fit(name).to_dict()
    with pytest.raises(InputError, match="does not match 3 counts"):
        from_dict({**saved, "counts": [1, 2, 3]})
    with pytest.raises(InputError, match="lacks its counts"):
        from_dict({key: saved[key] for key in saved if key != "counts"})
    with pytest.raises(InputError, match=r"begin with|result of each merge"):
        from_dict({**saved, "vocabulary": saved["vocabulary"][::-1]})
    with pytest.raises(InputError, match="'elmo'"):
        from_dict({**saved, "name": "elmo"})
    with pytest.raises(InputError, match="is not a"):
        TOKENIZERS.get(name).from_dict({**saved, "name": "other"})


@pytest.mark.parametrize("saved", [{}, {"name": 3}, []])
def test_data_that_is_not_a_tokenizer_is_rejected(saved):
    with pytest.raises(InputError, match="needs a 'name'"):
        from_dict(saved)


@with_unknown
def test_types_are_ordered_by_frequency_then_first_occurrence(name):
    tokenizer = fit(name, "z y z y x w x w x\n", min_count=1)
    ordered = [piece for piece in tokenizer.vocabulary if piece in "wxyz"]
    assert ordered == ["x", "z", "y", "w"]


@with_unknown
def test_vocab_size_includes_reserved_types_and_keeps_the_most_frequent(name):
    text = "a a a b b c\n"
    tokenizer = fit(name, text, vocab_size=4, min_count=1)
    assert len(tokenizer) == 4 and "a" in tokenizer.vocabulary and "c" not in tokenizer.vocabulary
    assert tokenizer.counts.sum() == len(tokenizer.encode(text))
    assert len(fit(name, text, vocab_size=1000, min_count=1)) == len(fit(name, text, min_count=1))


@with_unknown
def test_types_rarer_than_min_count_are_unknown(name):
    tokenizer = fit(name, "a a b\n", min_count=2)
    assert tokenizer.unknown == 0 and tokenizer.min_count == 2
    assert tokenizer.encode("b").tolist() == [0] and tokenizer.decode([0]) == "<unk>"


def test_words_and_pairs_that_occur_once_are_dropped_by_default():
    assert {name: fit(name).min_count for name in NAMES} == {"bpe": 2, "byte": 1, "char": 1, "whitespace": 1, "word": 2}


@with_unknown
def test_limits_that_are_too_small_are_rejected(name):
    with pytest.raises(InputError, match=f"vocab-size 1 is too small for the {name} .*; give 2 or more"):
        fit(name, vocab_size=1)
    with pytest.raises(InputError, match="min-count 0 is too small; give 1 or more"):
        fit(name, min_count=0)


@each_tokenizer
@pytest.mark.parametrize("invalid", [-1, 10_000])
def test_ids_outside_the_vocabulary_are_rejected(name, invalid):
    with pytest.raises(InputError, match=f"id {invalid} is not in the vocabulary; give 0 to "):
        fit(name).decode(np.array([0, invalid]))


@each_tokenizer
def test_lowercase_applies_to_encode_and_pieces(name):
    tokenizer = fit(name, "ABC abc\n", lowercase=True, min_count=1)
    assert tokenizer.encode("ABC").tolist() == tokenizer.encode("abc").tolist()
    assert tokenizer.pieces("ABC") == tokenizer.pieces("abc")
    assert fit(name, "ABC abc\n", min_count=1).pieces("ABC") != tokenizer.pieces("ABC")


@each_tokenizer
def test_pieces_are_the_tokens_of_the_ids(name):
    tokenizer = fit(name, min_count=1)
    assert [tokenizer.vocabulary[i] for i in tokenizer.encode(TEXT)] == tokenizer.pieces(TEXT)


@each_tokenizer
@given(text=st.text(st.characters()))
def test_any_text_can_be_encoded_and_decoded(name, text):
    tokenizer = fit(name, text, lowercase=len(text) % 2 == 1)
    assert isinstance(tokenizer.decode(tokenizer.encode(text)), str)
    assert all(tokenizer.piece(i).isprintable() for i in range(len(tokenizer)))


@each_tokenizer
def test_lone_surrogates_are_supported(name):
    text = "a \ud800 b \udfff\n"
    tokenizer = fit(name, text, min_count=1)
    assert len(tokenizer.encode(text)) == len(tokenizer.pieces(text))
    assert tokenizer.piece(int(tokenizer.encode("\ud800")[0])).isprintable()
    assert json.loads(json.dumps(tokenizer.to_dict())) == tokenizer.to_dict()


@pytest.mark.parametrize("name", NAMES)
@given(parts=st.lists(st.text("aΣ' \n\u3000İ\x1c", max_size=9), max_size=4), size=st.integers(1, 5), lowercase=st.booleans())
def test_encoding_in_parts_gives_the_same_ids(name, parts, size, lowercase):
    text = "".join(parts)
    tokenizer = fit(name, TEXT + text, min_count=1, lowercase=lowercase)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "CHUNK", size)
        assert "".join(tokenizer.parts(parts, lowercase)) == (text.lower() if lowercase else text)
        ids = [i for part in tokenizer.parts(parts) for i in tokenizer.encode(part).tolist()]
        assert ids == tokenizer.encode(text).tolist()
    assert ids == tokenizer.encode(text).tolist()


@given(
    parts=st.lists(st.text("ab \n\u3000\x1c", max_size=6)), size=st.integers(1, 9), at=st.sampled_from([AFTER_WHITESPACE, AFTER_LINE_END])
)
def test_a_text_is_cut_at_the_last_valid_position_of_each_slice(parts, size, at):
    whole, is_cut_after = "".join(parts), (str.isspace if at is AFTER_WHITESPACE else "\n".__eq__)
    slices = [part[k : k + size] for part in parts for k in range(0, len(part), size)]
    chunks = list(cut(parts, at, size))
    assert "".join(chunks) == whole and all(is_cut_after(chunk[-1]) for chunk in chunks[:-1])
    assert len(chunks) == sum(any(map(is_cut_after, part)) for part in slices[:-1]) + bool(whole)


@each_tokenizer
def test_a_text_of_many_chunks_is_encoded_like_its_parts(name):
    tokenizer = fit(name, min_count=1)
    repeats = (1 << 20) // len(TEXT) + 2
    assert tokenizer.encode(TEXT * repeats).tolist() == tokenizer.encode(TEXT).tolist() * repeats
    assert (fit(name, TEXT * repeats, min_count=1).counts == tokenizer.counts * repeats).all()


@given(words=st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), max_size=400), most=st.integers(2, 12), seed=st.integers(0, 3))
def test_of_very_many_different_words_the_rarest_are_dropped(words, most, seed):
    """As a plain counter that is cut in the same way, after every line."""
    lines = [" ".join(words[k : k + 7]) + "\n" for k in range(0, len(words), 7)]
    counts, dropped, told = Counter(), 0, []
    for line in lines:
        counts.update(line.replace("\n", " \n").split(" "))
        counts.pop("", None)
        if len(counts) > most:
            rare = sorted(counts.values())[-(most // 2)]
            gone = [word for word, n in counts.items() if n <= rare]
            dropped += sum(counts.pop(word) for word in gone)
            told.append((len(gone), rare))
    with pytest.MonkeyPatch.context() as patch:
        heard = []
        patch.setattr(strings, "ON_DROPPED", [lambda *given: heard.append(given)])
        table, found, lost = strings.count_strings(lines, split_whitespace, most=most)
        assert dict(zip(table.to_list(), found.tolist(), strict=True)) == dict(counts)
        assert lost == dropped and heard == told
        patch.setattr(whitespace, "MOST_STRINGS", most)
        patch.setattr(Whitespace, "parts", lambda text, lowercase: iter(lines))
        fitted = Whitespace.fit("")
    assert fitted.counts.sum() == len(words) + len(lines)
    assert fitted.counts[fitted.index["<unk>"]] >= dropped
