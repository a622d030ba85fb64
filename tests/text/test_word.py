"""Words and punctuation, and pre-tokenized text."""

import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nlmcli.text.strings import EncodingCache, StringTable
from nlmcli.text.tokenizers.byte import utf8
from nlmcli.text.tokenizers.whitespace import Whitespace, split_whitespace
from nlmcli.text.tokenizers.word import Word

LECTURE = "the blue ants hated the red ants."

PROSE = [
    "students opened their books.",
    LECTURE,
    '"Well," she said, "don\'t you know the well-known answer?"',
    "It cost $3.14, or 5% of 1,000 (one thousand), in the U.S. and elsewhere, e.g. here!",
    "He said: “I can’t; no, I won’t!” And ‘so’ he didn’t.",
    "A pause—then nothing... But at 10:30, Dr. Smith [sic] and/or J. R. R. Tolkien came…",
    "The 1914–1918 war; the students' books; 'tis true, 'twas 'so' in the '90s.",
    '"Quote one" and "quote two"; \'single\' too.\n"A new line" opens anew.',
    "O'Neill's rock 'n' roll is #1.",
    "I' the midst o' the body, wi' the sun.",
    "What is 'this'? Ask o' the clock; ’tis all the students’ fault.",
    'It was -5 degrees: 3 - 2 = 1 -- yes, "really".',
    "«Oui» et »Nein«; ¿Qué? ¡No!",
    "„Das ist gut“, sagte er – und ging. Größe: 12,5 kg/m.",
    "他说：“你好，世界！”然后走了。2023年，我们学了3门课。",
    "我们用 Python 写程序（很好）。",
    "「カタカナ」とひらがな、ー。",
    "ภาษาไทย",
    "한국어는 띄어쓰기를 한다.",
    "Привет, мир! Ελλάς; naïve cafe\u0301, cœur.",
    "\n\nTwo lines above,\n\none between.\n",
    "The <unk> said '<unk>'.",
]


def fit(text, **options):
    return Word.fit(text, **{"min_count": 1, **options})


@pytest.mark.parametrize("text", PROSE)
def test_prose_round_trips(text):
    tokenizer = fit(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_lecture_example():
    tokenizer = fit(LECTURE)
    assert tokenizer.pieces(LECTURE) == ["the", "blue", "ants", "hated", "the", "red", "ants", "."]
    assert len(tokenizer.encode(LECTURE)) == 8 and len(set(tokenizer.encode(LECTURE).tolist())) == 6
    assert tokenizer.vocabulary == ["<unk>", "<eos>", "the", "ants", "blue", "hated", "red", "."]


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("don't well-known rock’n’roll", ["don't", "well-known", "rock’n’roll"]),
        ("'tis- -x books'", ["'", "tis", "-", "-", "x", "books", "'"]),
        ("3.14 1,000.5 3. 4 .5 1914-18", ["3.14", "1,000.5", "3", ".", "4", ".", "5", "1914-18"]),
        ("U.S. e.g., ends.Next", ["U.S", ".", "e.g", ".", ",", "ends", ".", "Next"]),
        ("cafe\u0301 \u0301x", ["cafe\u0301", "\u0301", "x"]),
        ("हिन्दी", ["हिन्दी"]),
        ("我用Python写。", ["我", "用", "Python", "写", "。"]),
        ("かが\u3099カー", ["か", "が\u3099", "カ", "ー"]),
        ("snake_case x² ...", ["snake", "_", "case", "x²", ".", ".", "."]),
        ("a\tb\u3000c\n\nd\r", ["a", "b", "c", "<eos>", "<eos>", "d"]),
        ("(<unk>) <UNK>", ["(", "<unk>", ")", "<", "UNK", ">"]),
        ("\U0001f41c\U0001f44d\U0001f3fd ❤\ufe0f", ["\U0001f41c", "\U0001f44d", "\U0001f3fd", "❤\ufe0f"]),
    ],
)
def test_pieces(text, pieces):
    assert fit("").pieces(text) == pieces


# Characters with special spacing or splitting rules, more frequent than in random text.
SPECIAL = [*"ab1’'\"-–—.,:…$%#/“”„«»‘()<>_ \n我。カ，\u0301\u200dΣ", "<unk>", "<eos>", "s'", "3.1", "U.S"]
ANY_TEXT = st.lists(st.sampled_from(SPECIAL) | st.characters(), max_size=30).map("".join)


@given(text=ANY_TEXT, lowercase=st.booleans())
@example(text="3 . 14 don ' t a - b < unk > U . S", lowercase=False)
def test_decoded_text_is_tokenized_the_same(text, lowercase):
    tokenizer = fit(text, lowercase=lowercase)
    ids = tokenizer.encode(text)
    assert tokenizer.encode(tokenizer.decode(ids)).tolist() == ids.tolist()


@given(training=ANY_TEXT, text=ANY_TEXT)
def test_decoded_text_is_tokenized_the_same_with_unknown_words(training, text):
    tokenizer = fit(training)
    ids = tokenizer.encode(text)
    assert tokenizer.encode(tokenizer.decode(ids)).tolist() == ids.tolist()


@given(text=ANY_TEXT, cut=st.integers(0, 30))
def test_the_text_of_a_prefix_is_a_prefix_of_the_text(text, cut):
    tokenizer = fit(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids).startswith(tokenizer.decode(ids[:cut]))


@given(text=ANY_TEXT)
def test_only_whitespace_is_lost(text):
    assume("<eos>" not in text)
    assert "".join(fit("").pieces(text)).replace("<eos>", "") == "".join(text.split())


@given(text=ANY_TEXT)
def test_a_combining_mark_is_a_token_only_if_nothing_precedes_it(text):
    pieces = fit("").pieces(text)
    separate = sum(unicodedata.category(piece[0])[0] == "M" for piece in pieces)
    initial = sum(unicodedata.category(string[0])[0] == "M" for string in text.split())
    after_reserved = text.count("<unk>\u0301") + text.count("<eos>\u0301")
    assert separate <= initial + after_reserved


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(EncodingCache, "MAX_BYTES", 20)
    text = "one two three four five six-and-seven\n" * 2
    tokenizer = fit(text)
    for _ in range(3):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert len(tokenizer._cache.strings) == 7  # cleared each time


@given(st.lists(st.text("ab\n \u3000\x1c蚂\U0001f41c\ud800"), max_size=5))
def test_strings_are_numbered_by_first_occurrence(parts):
    strings, expected_numbers = StringTable(), {}
    for part in parts:
        data = utf8(part)
        numbers = strings.intern(data, *split_whitespace(data))
        split = part.replace("\n", " <eos> ").replace("<eos>", "\n").split(" ")
        expected = [s for piece in split for s in ([piece] if piece == "\n" else piece.split())]
        assert numbers.tolist() == [expected_numbers.setdefault(s, len(expected_numbers)) for s in expected]
    assert strings.to_list() == list(expected_numbers)


def test_the_string_table_grows():
    words = [f"{'long' * (i % 7)}{i}" for i in range(9000)] + ["x" * 100_000]
    tokenizer = Whitespace.fit(" ".join(words + words))
    assert tokenizer.vocabulary[2:] == words and set(tokenizer.counts[2:].tolist()) == {2}
    assert tokenizer.encode(" ".join(words)).tolist() == list(range(2, 9003))


def test_whitespace_keeps_the_given_tokenization():
    text = " = A <unk> title = \n\n it 's <unk> , @-@ said \n"
    tokenizer = Whitespace.fit(text)
    pieces = ["=", "A", "<unk>", "title", "=", "<eos>", "<eos>", "it", "'s", "<unk>", ",", "@-@", "said", "<eos>"]
    assert tokenizer.pieces(text) == pieces
    assert tokenizer.vocabulary[:4] == ["<unk>", "<eos>", "=", "A"]
    assert tokenizer.counts[:3].tolist() == [2, 3, 2] and tokenizer.newline == 1
    assert tokenizer.encode("<unk> unseen").tolist() == [0, 0]
    assert tokenizer.decode(tokenizer.encode(text)) == "= A <unk> title =\n\nit 's <unk> , @-@ said\n"


@given(text=ANY_TEXT)
def test_text_decoded_by_whitespace_is_tokenized_the_same(text):
    tokenizer = Whitespace.fit(text)
    ids = tokenizer.encode(text)
    assert tokenizer.encode(tokenizer.decode(ids)).tolist() == ids.tolist()
    assert tokenizer.pieces(text) == " <eos> ".join(text.split("\n")).split()
