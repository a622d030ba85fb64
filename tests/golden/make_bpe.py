"""Generate bpe.json with Hugging Face's `tokenizers`: python tests/golden/make_bpe.py. The tests that read it do not need it.

Each case: a training text, the tokenizer.json trained on it (special tokens, which no text is encoded to, have the first ids),
and the ids of texts.
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

STUDENTS = (
    "The students opened their books.\nThe students' books weren't theirs; they've opened them, I'm told.\n\n"
    "  She'll open 12 books, he'd open 3.14, and 2048 ants marched: \"Hup! Hup!\"\n\tThe ants' antics... "
    "opened the students' minds.   Their minds opened books.\n\n\nWe’re bookish; you're antsy.\n"
)
WORLD = (
    "Die Studierenden öffneten ihre Bücher; die größten Bücher öffneten ihre Größe.\n"
    "学生们打开了书。书打开了学生们。蚂蚁打开了书，蚂蚁也打开了蚂蚁。\n"
    "Студенты открыли книги. Книги открыли студентов.\nนักเรียนเปิดหนังสือ हिन्दी छात्रों ने किताबें खोलीं\n"
    "\U0001f41c\U0001f41c\U0001f469\u200d\U0001f393 x² + ½ = Ⅻ ٣ cafe\u0301 café\u00a0\u2003—\u3000“…”\r\n\x85\u2028\x1c\x00\x7f\n"
)
RUNS = "aaaa aaaaa aaa\naaaaaaaaaaaaaaaa abababab babababa aabaab\n'''s 's's '''''t's " * 2
TEXTS = [
    "",
    "\n",
    "\n\n",
    "a\n\nb\n\n\nc \n d",
    " \n",
    "  leading and trailing  ",
    "The ants opened 31415 books!",
    "I'm, you're, he'd, we'll, they've, isn't, it's; I'M, 'S, 's, ''s, !'s, a's, 1's",
    "蚂蚁 opened 书。Größe ½ x²",
    "aaaaaaaaa aaaa\taaaa",
    "\u00a0\u00a0x\u3000\u3000y\x1c\x1cz\x85\x85",
    "\U0001f41c \U0001f469\u200d\U0001f393\ufeff\ufffe\ue000",
    STUDENTS,
    WORLD,
    RUNS,
]


def case(text, size, min_count, special=(), lowercase=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_count,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return {
        "training": text,
        "vocab_size": size,
        "min_count": min_count,
        "lowercase": lowercase,
        "file": json.loads(tokenizer.to_str()),
        "texts": TEXTS,
        "ids": [tokenizer.encode(text).ids for text in TEXTS],
    }


if __name__ == "__main__":
    cases = {
        "students": case(STUDENTS, 320, 1),
        "world": case(WORLD, 400, 1),
        "runs": case(RUNS, 1000, 1),
        "twice": case(STUDENTS * 2 + WORLD + RUNS, 1000, 2),
        "lower": case(STUDENTS + WORLD, 330, 2, lowercase=True),
        "special": case(STUDENTS, 300, 1, special=["<pad>", "<|end of text|>"]),
    }
    with open(Path(__file__).parent / "bpe.json", "w", encoding="utf-8") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")
