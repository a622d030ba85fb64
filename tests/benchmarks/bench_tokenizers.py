"""Speed of encoding and of BPE training, compared with Hugging Face's `tokenizers` if that is installed.

`python tests/benchmarks/bench_tokenizers.py [TEXT]` measures all of them one after another, round by round, and prints a
table: a machine's speed drifts, so only measurements of the same round are comparable. Each encoding uses a new
tokenizer with empty caches. The default text is the corpus that ships with nlm.
"""

import json
import statistics
import sys
import time

from nlmcli.nn.kernel import JIT
from nlmcli.text import corpus, saved
from nlmcli.text.tokenizers import TOKENIZERS, from_dict

VOCAB_SIZE = 8192
ROUNDS = 5


def seconds(function):
    """The time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def encoding(fitted, text):
    """A function that copies the tokenizer, untimed, and then times its encoding of the text."""
    state = fitted.to_dict()

    def run():
        tokenizer = from_dict(state)
        return seconds(lambda: tokenizer.encode(text))

    return run


def nlm_benchmarks(text):
    """Name -> a function that returns seconds, for nlm."""
    fitted = {name: saved.fit(name, text, VOCAB_SIZE if name == "bpe" else None) for name in TOKENIZERS.names()}
    encoders = {f"encode, {name}": encoding(tokenizer, text) for name, tokenizer in fitted.items()}
    return encoders | {"train, bpe": lambda: seconds(lambda: saved.fit("bpe", text, VOCAB_SIZE))}


def hugging_face_benchmarks(text):
    """The same for `tokenizers`; empty if it is not installed."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError:
        return {}
    lines = text.splitlines(keepends=True)
    state = json.loads(saved.to_json(saved.fit("bpe", text, VOCAB_SIZE)))

    def new_tokenizer():
        return Tokenizer.from_str(json.dumps(state))

    def encode(whole):
        tokenizer = new_tokenizer()
        return seconds(lambda: tokenizer.encode(text) if whole else tokenizer.encode_batch_fast(lines))

    def train():
        tokenizer, alphabet = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
        return seconds(lambda: tokenizer.train_from_iterator(lines, trainer))

    encoders = {"encode, tokenizers, one string": lambda: encode(True), "encode, tokenizers, by line": lambda: encode(False)}
    return encoders | {"train, tokenizers, by line": train}


def table(path):
    """Print median seconds and MB/s over the rounds."""
    text = corpus.read(path)
    megabytes = len(text.encode("utf-8", "surrogatepass")) / 1e6
    candidates = nlm_benchmarks(text) | hugging_face_benchmarks(text)
    for run in candidates.values():
        run()  # compiles kernels and maps memory pages
    rounds = [{name: run() for name, run in candidates.items()} for _ in range(ROUNDS)]
    print(f"{megabytes:.1f} MB, vocab-size {VOCAB_SIZE} for bpe\n{'':32}{'seconds':>9}{'MB/s':>8}")
    for name in candidates:
        median = statistics.median(times[name] for times in rounds)
        print(f"{name:32}{median:9.3f}{megabytes / median:8.1f}", flush=True)


if __name__ == "__main__":
    if not JIT:
        raise SystemExit("NUMBA_DISABLE_JIT is set: there are no kernels to measure")
    table(sys.argv[1] if sys.argv[1:] else corpus.shipped())
