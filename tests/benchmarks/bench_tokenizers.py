"""How fast text becomes ids, and BPE is learned, beside Hugging Face's `tokenizers` where that is installed.

`python tests/benchmarks/bench_tokenizers.py [TEXT]` measures all of them in turn, round by round, and prints a table:
a machine's speed drifts, so only what was measured side by side can be compared. Each encoding begins with a new
tokenizer that remembers nothing. Without a text it takes the corpus that ships with nlm.
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
    """How long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def encoding(fitted, text):
    """A function that makes the tokenizer anew, untimed, and then times its encoding of the text."""
    kept = fitted.to_dict()

    def run():
        tokenizer = from_dict(kept)
        return seconds(lambda: tokenizer.encode(text))

    return run


def ours(text):
    """What is measured of nlm: name -> a function that gives seconds."""
    fitted = {name: saved.fit(name, text, VOCAB_SIZE if name == "bpe" else None) for name in TOKENIZERS.names()}
    found = {f"encode, {name}": encoding(tokenizer, text) for name, tokenizer in fitted.items()}
    return found | {"learn, bpe": lambda: seconds(lambda: saved.fit("bpe", text, VOCAB_SIZE))}


def theirs(text):
    """The same of the library; nothing where it is not installed."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError:
        return {}
    lines = text.splitlines(keepends=True)
    state = json.loads(saved.to_json(saved.fit("bpe", text, VOCAB_SIZE)))

    def fresh():
        return Tokenizer.from_str(json.dumps(state))

    def encode(whole):
        tokenizer = fresh()
        return seconds(lambda: tokenizer.encode(text) if whole else tokenizer.encode_batch_fast(lines))

    def learn():
        tokenizer, alphabet = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
        return seconds(lambda: tokenizer.train_from_iterator(lines, trainer))

    found = {"encode, tokenizers, one string": lambda: encode(True), "encode, tokenizers, its lines": lambda: encode(False)}
    return found | {"learn, tokenizers, from lines": learn}


def table(path):
    """Print seconds and MB/s, medians of the rounds."""
    text = corpus.read(path)
    megabytes = len(text.encode("utf-8", "surrogatepass")) / 1e6
    candidates = ours(text) | theirs(text)
    for run in candidates.values():
        run()  # kernels are compiled, pages are there
    rounds = [{name: run() for name, run in candidates.items()} for _ in range(ROUNDS)]
    print(f"{megabytes:.1f} MB, vocab-size {VOCAB_SIZE} for bpe\n{'':32}{'seconds':>9}{'MB/s':>8}")
    for name in candidates:
        middle = statistics.median(times[name] for times in rounds)
        print(f"{name:32}{middle:9.3f}{megabytes / middle:8.1f}", flush=True)


if __name__ == "__main__":
    if not JIT:
        raise SystemExit("NUMBA_DISABLE_JIT is set: there are no kernels to measure")
    table(sys.argv[1] if sys.argv[1:] else corpus.shipped())
