"""Are exports what they should be? Read by transformers, PyTorch, gensim and kenlm, in an environment that has them.

    python tests/golden/exports.py make FOLDER      here: train small runs, export them, and note what nlm computes
    python tests/golden/exports.py check FOLDER     there: needs torch, transformers, safetensors, gensim and kenlm, not nlm

Printed: the largest difference of the logits, of log10 P, and of embeddings; ids and texts must be equal.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

TEXT = "The ants sat on the red mat.\nTheir books opened, students!\n"
CORPUS = "".join(f"The {a} sat on the {b} mat.\nTheir books opened, {a}!\n" for a in ("ants", "cats", "cows") for b in ("red", "blue"))
FOLDERS = {
    "gpt2-char": {"model": "transformer", "tokenizer": "char", "layers": 2, "embed": 8, "heads": 2, "context": 16, "hidden": 20},
    "gpt2-byte": {"model": "transformer", "tokenizer": "byte", "layers": 1, "embed": 8, "heads": 2, "context": 16, "tie": False},
    "gpt2-bpe": {"model": "transformer", "tokenizer": "bpe", "vocab_size": 300, "layers": 2, "embed": 8, "heads": 4, "context": 64},
    "gpt2-lower": {"model": "transformer", "tokenizer": "char", "lowercase": True, "layers": 1, "embed": 8, "heads": 1, "context": 64},
    "gpt2-whitespace": {"model": "transformer", "tokenizer": "whitespace", "layers": 1, "embed": 8, "heads": 1, "context": 64},
    "mamba-char": {"model": "mamba", "tokenizer": "char", "layers": 2, "embed": 8, "output_bias": False},
    "mamba-bpe": {"model": "mamba", "tokenizer": "bpe", "vocab_size": 280, "layers": 1, "embed": 20, "output_bias": False, "tie": True},
}
RECURRENT = {
    "rnn": {"model": "rnn", "layers": 2, "hidden": 7},
    "lstm": {"model": "lstm", "layers": 2, "hidden": 7},
    "gru": {"model": "gru", "layers": 1, "hidden": 7, "tie": True, "embed": 5},
}
COUNTS = {
    "stream-3": {"tokenizer": "word", "context": 3, "min_count": 1},
    "line-4": {"tokenizer": "char", "context": 4, "by": "line"},
    "bpe-2": {"tokenizer": "bpe", "vocab_size": 290, "context": 2, "by": "line"},
}


def make(folder: Path) -> None:
    import nlmcli
    from nlmcli.engine.exchange.export import export
    from nlmcli.engine.exchange.format import printable_names
    from nlmcli.engine.run.language_model import LanguageModel
    from nlmcli.engine.scoring.evaluate import token_scores
    from nlmcli.engine.writing.generate import Predictor

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.txt").write_text(CORPUS * 20)

    def trained(name, **options):
        if not (folder / f"run-{name}").exists():
            nlmcli.train(folder / "corpus.txt", out=folder / f"run-{name}", **options)
        return LanguageModel.load(folder / f"run-{name}")

    expected = {}
    for name, options in (FOLDERS | RECURRENT).items():
        lm = trained(name, steps=30, batch_size=4, seq_len=16, lr=0.01, **options)
        export(lm, folder / name, "hf") if name in FOLDERS else export(lm, folder / f"{name}.safetensors")
        ids = lm.tokenizer.encode(TEXT)
        x = np.concatenate([[lm.tokenizer.newline], ids]).astype(np.int64)
        z = np.concatenate([lm.model.logits(lm.P, h) for h in lm.model.forward(lm.P, x[:, None], lm.start(1))[0]])
        expected[name] = {
            "ids": x.tolist(),
            "block": lm.model.window or len(x),
            "logits": z.tolist(),
            "text": lm.tokenizer.decode(ids),
            "next": Predictor(lm, TEXT).logits.shape[1],
        }
    for name, options in COUNTS.items():
        lm, rows = trained(name, model="ngram", **options), []
        export(lm, folder / f"{name}.arpa")
        names = printable_names(lm.tokenizer)
        for line in TEXT.splitlines():
            ids, nll, _ = (np.concatenate(parts) for parts in zip(*token_scores(lm, line + "\n"), strict=True))
            rows.append((" ".join(names[i] for i in ids[:-1]), (-nll / np.log(10)).tolist()))
        expected[name] = rows
    lm = trained("lstm")
    export(lm, folder / "lstm.vec")
    expected["vec"] = dict(zip(printable_names(lm.tokenizer), lm.P.E.tolist(), strict=True))
    (folder / "expected.json").write_text(json.dumps(expected))


def check(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text())
    for name in FOLDERS:
        worst, e = check_folder(folder / name, expected[name]), expected[name]
        print(f"{name:16} logits within {worst:.1e}, ids and text equal, {len(e['ids'])} tokens in blocks of {e['block']}")
    for name in RECURRENT:
        print(f"{name:16} logits within {check_recurrent(folder / f'{name}.safetensors', name, expected[name]):.1e}")
    for name in COUNTS:
        print(f"{name:16} log10 P within {check_arpa(folder / f'{name}.arpa', expected[name]):.1e}")
    print(f"{'vec':16} embeddings within {check_vectors(folder / 'lstm.vec', expected['vec']):.1e}")


def check_folder(folder: Path, expected: dict) -> float:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, (model, loading) = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True),
    )
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
    ids = tokenizer(TEXT)["input_ids"][: len(expected["ids"])]
    assert ids == expected["ids"], (folder, ids, expected["ids"])
    decoded = tokenizer.decode(ids[1:])
    assert decoded == expected["text"] or "whitespace" in folder.name, (folder, decoded, expected["text"])
    blocks = [ids[start : start + expected["block"]] for start in range(0, len(ids), expected["block"])]  # as nlm reads them
    with torch.no_grad():
        z = np.concatenate([model.eval()(torch.tensor([block])).logits[0].numpy() for block in blocks])
    generated = model.generate(torch.tensor([ids[:4]]), max_new_tokens=3, do_sample=False)
    assert generated.shape[1] <= 7
    return float(np.abs(z - expected["logits"]).max())


def check_recurrent(file: Path, name: str, expected: dict) -> float:
    import torch
    from safetensors.torch import load_file

    tensors = load_file(file)
    embeddings = tensors["embedding.weight"]
    hidden = tensors[f"{name}.weight_hh_l0"].shape[1]
    layers = sum("weight_hh" in key for key in tensors)
    body = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[name](embeddings.shape[1], hidden, layers)
    body.load_state_dict({key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")})
    with torch.no_grad():
        h = body(embeddings[expected["ids"]])[0]
        h = h @ tensors["projection.weight"].T if "projection.weight" in tensors else h
        z = (h @ tensors["output.weight"].T + tensors["output.bias"]).numpy()
    return float(np.abs(z - expected["logits"]).max())


def check_arpa(file: Path, rows: list) -> float:
    import kenlm

    model, worst = kenlm.Model(str(file)), 0.0
    for text, expected in rows:
        found = [score for score, _, _ in model.full_scores(text, bos=True, eos=True)]
        assert len(found) == len(expected)
        worst = max(worst, float(np.abs(np.subtract(found, expected)).max()))
    return worst


def check_vectors(file: Path, expected: dict) -> float:
    from gensim.models import KeyedVectors

    vectors = KeyedVectors.load_word2vec_format(str(file))
    assert set(vectors.key_to_index) == set(expected)
    return max(float(np.abs(vectors[name] - row).max()) for name, row in expected.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "check"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(sys.argv[1:])
    {"make": make, "check": check}[arguments.what](arguments.folder)
