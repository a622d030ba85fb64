"""Byte-level BPE compared with its definition and with Hugging Face's `tokenizers`, and its file format."""

import copy
import json
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nlmcli.errors import InputError
from nlmcli.text import corpus, saved
from nlmcli.text import tokenizer as tokenizer_module
from nlmcli.text.pretokenize import pretokenize
from nlmcli.text.tokenizer_json import BYTE_TO_UNICODE, from_json, to_json
from nlmcli.text.tokenizers import bpe
from nlmcli.text.tokenizers.bpe import ALPHABET, Bpe, text_to_token
from nlmcli.text.tokenizers.byte import utf8

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "bpe.json").read_text(encoding="utf-8"))
ANTS = "the blue ants hated the red ants.\n\nthe ants' anthill isn't theirs\n"

SPECIAL = [*"aabT1½'’ \t\n\r\x0b\x1c\x85\u00a0\u3000.!—é蚂\u0301\u200d", "'s", "'re", "'ll", "'ve", "  ", "\n\n", "\U0001f41c"]
ANY_TEXT = st.lists(st.sampled_from(SPECIAL) | st.characters(), max_size=40).map("".join)
REPETITIVE_TEXT = st.lists(st.sampled_from(["a", "b", "aa", "ab", " ", "\n", "'s", "蚂"]), max_size=60).map("".join)

each_golden_case = pytest.mark.parametrize("name", GOLDEN)


def words(text):
    data = utf8(text)
    return [data[start:end].tobytes().decode("utf-8", "surrogatepass") for start, end in zip(*pretokenize(data), strict=True)]


@given(text=ANY_TEXT)
@example(text="'s't're've'm'll'd'S ''s!'s 's")
@example(text="a  b\n\n\nc \n d  \u3000e \u3000")
def test_pretokenization_matches_the_regex(text):
    assert words(text) == naive.gpt2_words(text)


@settings(max_examples=50)
@given(text=REPETITIVE_TEXT, size=st.integers(256, 290), min_count=st.integers(1, 3))
def test_learned_merges_match_the_definition(text, size, min_count):
    tokenizer = Bpe.fit(text, vocab_size=size, min_count=min_count)
    merges = [(tokenizer.tokens[left], tokenizer.tokens[right]) for left, right in tokenizer.merges]
    assert merges == naive.bpe_merges(text, ALPHABET.tolist(), size, min_count)
    assert tokenizer.tokens == [*(bytes([b]) for b in ALPHABET.tolist()), *(a + b for a, b in merges)]


@settings(max_examples=50)
@given(training=REPETITIVE_TEXT, text=REPETITIVE_TEXT)
def test_merges_are_applied_in_the_order_of_learning(training, text):
    tokenizer = Bpe.fit(training, vocab_size=280, min_count=1)
    merges = [(tokenizer.tokens[left], tokenizer.tokens[right]) for left, right in tokenizer.merges]
    assert [tokenizer.tokens[i] for i in tokenizer.encode(text)] == list(naive.bpe_pieces(text, merges))


def test_a_merge_listed_before_its_parts_is_applied_as_soon_as_possible():
    alphabet = [bpe.token_to_text(bytes([byte])) for byte in range(256)]
    a, b, c = b"abc"
    tokenizer = Bpe([*alphabet, "abc", "ab"], np.zeros(258), merges=[(257, c), (a, b)])
    assert tokenizer.pieces("abcab") == ["abc", "ab"]


@given(training=ANY_TEXT, text=ANY_TEXT)
def test_any_text_round_trips(training, text):
    tokenizer = Bpe.fit(training, vocab_size=300, min_count=1)
    assert b"".join(tokenizer.tokens[i] for i in tokenizer.encode(text)) == text.encode("utf-8", "surrogatepass")
    valid = text.encode("utf-8", "replace").decode()
    assert tokenizer.decode(tokenizer.encode(valid)) == valid


@given(st.lists(st.integers(0, 255)))
def test_any_ids_decode(ids):
    tokenizer = Bpe.fit(ANTS)
    assert tokenizer.decode(ids) == ALPHABET[ids].tobytes().decode(errors="replace")


@given(left=ANY_TEXT, right=ANY_TEXT)
def test_cutting_a_text_before_whitespace_does_not_change_its_ids(left, right):
    tokenizer = Bpe.fit(left + right, vocab_size=300, min_count=1)
    whole = tokenizer.encode(f"{left}x {right}").tolist()
    assert whole == [*tokenizer.encode(f"{left}x").tolist(), *tokenizer.encode(f" {right}").tolist()]


@given(parts=st.lists(ANY_TEXT, max_size=4), size=st.integers(1, 9))
def test_fitting_on_parts_gives_the_same_tokenizer(parts, size):
    whole = Bpe.fit("".join(parts), vocab_size=300, min_count=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "CHUNK", size)
        assert Bpe.fit(parts, vocab_size=300, min_count=1).to_dict() == whole.to_dict()


@given(training=ANY_TEXT, ids=st.lists(st.integers(0, 255 + 20)))
def test_streaming_decode_matches_decode(training, ids):
    tokenizer = Bpe.fit(training, vocab_size=276, min_count=1)
    ids = [i for i in ids if i < len(tokenizer)]
    stream, copied = tokenizer.writer(), None
    text = ""
    for k, i in enumerate(ids):
        if k == len(ids) // 2:
            copied, text_before = stream.copy(), text
        text += stream.add(i)
    assert text + stream.rest() == tokenizer.decode(ids)
    if copied:  # is independent of the original
        assert text_before + "".join(map(copied.add, ids[len(ids) // 2 :])) + copied.rest() == tokenizer.decode(ids)


def test_streaming_holds_back_an_incomplete_character():
    stream = Bpe.fit("").writer()
    byte_ids = np.argsort(ALPHABET)
    assert [stream.add(int(byte_ids[byte])) for byte in "é蚂".encode()] == ["", "é", "", "", "蚂"]


def test_line_ends():
    tokenizer = Bpe.fit(ANTS * 9, min_count=1)
    newline = tokenizer.newline
    assert tokenizer.tokens[newline] == b"\n" and tokenizer.vocabulary[newline] == "\n" and tokenizer.piece(newline) == r"\n"
    assert tokenizer.pieces("the\n\nthe\n") == ["the", "\n", "\n", "the", "\n"]
    assert tokenizer.encode("\n").tolist() == [newline]
    assert tokenizer.pieces("the\n\n") == ["the", "\n", "\n"]  # the two line breaks are one word, but no merge of them was learned
    assert Bpe.fit("the\n\n", min_count=1).pieces("the\n\n") == ["the", "\n\n"]


def test_vocabulary_and_counts():
    tokenizer = Bpe.fit(ANTS, vocab_size=260)
    assert len(tokenizer) == 260 and tokenizer.unknown is None
    assert tokenizer.vocabulary[256:] == ["th", "an", " an", "the"]
    assert tokenizer.counts.tolist() == np.bincount(tokenizer.encode(ANTS), minlength=260).tolist()
    assert len(Bpe.fit(ANTS, min_count=1)) < 300  # stops when every word is one token
    assert len(Bpe.fit("")) == len(Bpe.fit(ANTS, min_count=100)) == 256


def test_printable_forms():
    tokenizer = Bpe.fit("蚂蚂 ", vocab_size=258, min_count=1)
    assert tokenizer.pieces("蚂") == ["\udce8\udc9a", "\udc82"] or tokenizer.pieces("蚂") == ["蚂"]
    assert {tokenizer.piece(i) for i in range(len(tokenizer))} >= {"␣", "<0xE8>", r"\n", "a"}
    assert all(text_to_token(piece) == token for piece, token in zip(tokenizer.vocabulary, tokenizer.tokens, strict=True))


def test_limits_that_are_too_small_are_rejected():
    with pytest.raises(InputError, match="vocab-size 255 is too small for the bpe tokenizer; give 256 or more"):
        Bpe.fit(ANTS, vocab_size=255)
    with pytest.raises(InputError, match="min-count 0 is too small"):
        Bpe.fit(ANTS, min_count=0)


# Comparison with Hugging Face's tokenizers


@each_golden_case
def test_merges_and_ids_match_tokenizers(name):
    case = GOLDEN[name]
    theirs = from_json(case["file"], name)
    assert [theirs.encode(text).tolist() for text in case["texts"]] == case["ids"]
    if not theirs.special:
        ours = Bpe.fit(case["training"], vocab_size=case["vocab_size"], min_count=case["min_count"], lowercase=case["lowercase"])
        assert (ours.merges, ours.vocabulary) == (theirs.merges, theirs.vocabulary)
        assert [ours.encode(text).tolist() for text in case["texts"]] == case["ids"]


@each_golden_case
def test_our_file_matches_theirs(name):
    theirs = copy.deepcopy(GOLDEN[name]["file"])
    ours = to_json(from_json(theirs, name))
    pairs = [f"{left} {right}" for left, right in theirs["model"].pop("merges")]
    assert ours["model"].pop("merges") == pairs
    assert ours.pop("decoder")["type"] == theirs.pop("decoder")["type"] == "ByteLevel"  # its other entries have no effect
    assert ours == theirs


def test_special_tokens_keep_their_ids_and_are_never_encoded():
    tokenizer = from_json(GOLDEN["special"]["file"], "special")
    assert tokenizer.vocabulary[:3] == ["<pad>", "<|end of text|>", "!"] and tokenizer.special == ["<pad>", "<|end of text|>"]
    ids = tokenizer.encode("<pad> <|end of text|>")
    assert ids.min() > 1 and tokenizer.decode(ids) == "<pad> <|end of text|>"
    assert tokenizer.decode([1, 0]) == "<|end of text|><pad>"


@pytest.fixture(scope="module")
def tokenizers():
    return pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def students(tokenizers):
    """The shipped corpus, the library's tokenizer trained on it, and ours."""
    text = corpus.read(corpus.shipped())
    theirs = tokenizers.Tokenizer.from_str(json.dumps(GOLDEN["students"]["file"]))
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    theirs.train_from_iterator([text], tokenizers.trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet, show_progress=False))
    return text, theirs, Bpe.fit(text, vocab_size=1000, min_count=1)


def test_the_shipped_corpus_matches_the_library(tokenizers, students):
    text, theirs, ours = students
    assert from_json(json.loads(theirs.to_str()), "theirs").merges == ours.merges
    assert theirs.encode(text).ids == ours.encode(text).tolist()
    loaded = tokenizers.Tokenizer.from_str(saved.to_json(ours))
    assert loaded.encode(text).ids == ours.encode(text).tolist() and loaded.get_vocab() == theirs.get_vocab()
    assert loaded.decode(ours.encode(text)) == text


@given(text=ANY_TEXT.map(lambda text: text.encode("utf-8", "replace").decode()))
def test_any_text_matches_the_library(students, text):
    _, theirs, ours = students
    if all(map(naive.old, text)):
        assert theirs.encode(text).ids == ours.encode(text).tolist()


# The file format


def test_bytes_are_written_as_visible_characters():
    assert [BYTE_TO_UNICODE[ord(c)] for c in "!a \n"] == ["!", "a", "Ġ", "Ċ"] and len(set(BYTE_TO_UNICODE.values())) == 256
    assert sorted(map(ord, BYTE_TO_UNICODE.values())) == [ord(BYTE_TO_UNICODE[b]) for b in ALPHABET.tolist()]


@pytest.mark.parametrize("lowercase", [False, True])
def test_a_tokenizer_round_trips_through_its_file(tmp_path, lowercase):
    tokenizer, path = Bpe.fit(ANTS, lowercase=lowercase), tmp_path / "tok.json"
    path.write_text(saved.to_json(tokenizer), encoding="utf-8")
    loaded = saved.fit(str(path), ANTS)
    assert loaded.to_dict() | {"min_count": 2} == tokenizer.to_dict()
    for option in ({"vocab_size": 300}, {"min_count": 2}, {"lowercase": True}):
        with pytest.raises(InputError, match="has its own, so leave it out"):
            saved.fit(str(path), ANTS, **option)


def test_any_tokenizer_can_be_saved_and_loaded(tmp_path):
    path = tmp_path / "words.json"
    path.write_text(saved.to_json(saved.fit("word", ANTS, min_count=1)), encoding="utf-8")
    assert saved.fit(str(path), "red ants and ants\n").counts.tolist()[:4] == [1, 1, 0, 2]


def changed(**parts):
    file = copy.deepcopy(GOLDEN["special"]["file"])
    for name, value in parts.items():
        file[name] = file[name] | value if isinstance(file[name], dict) and isinstance(value, dict) else value
    return file


def vocab_without(byte):
    model = changed()["model"]
    return {"vocab": {t: i for t, i in model["vocab"].items() if t != byte}}


INVALID = {
    "model is WordPiece": changed(model={"type": "WordPiece"}),
    "model has ignore_merges": changed(model={"ignore_merges": True}),
    "model has end_of_word_suffix": changed(model={"end_of_word_suffix": "</w>"}),
    "pre_tokenizer is Whitespace": changed(pre_tokenizer={"type": "Whitespace"}),
    "pre_tokenizer is None": changed(pre_tokenizer=None),
    "decoder is None": changed(decoder=None),
    "normalizer is NFC": changed(normalizer={"type": "NFC"}),
    "add_prefix_space": changed(pre_tokenizer={"add_prefix_space": True}),
    "use_regex": changed(pre_tokenizer={"use_regex": False}),
    "not all special": changed(added_tokens=[{"id": 0, "content": "<pad>", "special": False}]),
    "lacks some of the 256 bytes": changed(model=vocab_without("Ġ")),
    "ids in 'x.json' have gaps": changed(model={"vocab": changed()["model"]["vocab"] | {"zzz": 10_000}}),
    "result of each merge": changed(model={"merges": [["z", "q"]]}),
    "not a complete tokenizer.json": changed(model={"merges": [["zzz", "q"]]}),
    "'x.json' is not a complete": {"model": 3},
    "needs a 'name'": {"version": "1.0"},
    "lacks its merges": {"name": "bpe", "vocabulary": [], "counts": [], "lowercase": False, "min_count": 1},
    "contains no tokenizer": {"name": "word", "vocabulary": 3, "counts": [], "lowercase": False, "min_count": 1},
}


@pytest.mark.parametrize("sentence", INVALID)
def test_an_unsupported_file_is_rejected(tmp_path, monkeypatch, sentence):
    monkeypatch.chdir(tmp_path)
    Path("x.json").write_text(json.dumps(INVALID[sentence]))
    with pytest.raises(InputError, match=sentence) as caught:
        saved.load("x.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("contents", ["{", "[" * 100_000, "words"])
def test_a_file_that_is_not_json_is_rejected(tmp_path, contents):
    (tmp_path / "x.json").write_text(contents)
    with pytest.raises(InputError, match="is not JSON"):
        saved.load(str(tmp_path / "x.json"))
