"""Make small Hugging Face folders with transformers, and note what it computes: python tests/golden/make_hf.py

Needs torch, transformers and tokenizers; the tests that read the folders need none of them.
"""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM

FOLDER = Path(__file__).parent / "hf"
TEXT = "The ants sat on the red mat.\nTheir books opened, students!\n\nÜber ☃\n"
WORDS = ("ants", "mat", "students", "books", "opened", "their", "cat", "red")
CORPUS = "".join(f"The {a} sat on the {b}.\nTheir {b} {a} opened!\n" for a in WORDS for b in WORDS)
START = "<|endoftext|>"

GPT2S = {
    "gpt2-tied": ({}, torch.float32, None),
    "gpt2-untied-bf16": ({"tie_word_embeddings": False, "n_inner": 20}, torch.bfloat16, None),
    "gpt2-f16-padded": ({"vocab_size": 304}, torch.float16, None),
    "gpt2-shards": ({"n_layer": 3}, torch.float32, "8KB"),
}
MAMBAS = {
    "mamba-tied": ({}, torch.float32, None),
    "mamba-untied-bf16": ({"tie_word_embeddings": False, "expand": 3}, torch.bfloat16, None),
}


def tokenizer(size: int) -> Tokenizer:
    """A byte-level BPE with a token before a text, as GPT-2's."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        [CORPUS], trainers.BpeTrainer(vocab_size=size, special_tokens=[START], initial_alphabet=alphabet, show_progress=False)
    )
    return bpe


def main() -> None:
    bpe, expected = tokenizer(300), {}
    start = bpe.token_to_id(START)
    shared = {"bos_token_id": start, "eos_token_id": start}
    for name, (options, dtype, shard) in (GPT2S | MAMBAS).items():
        torch.manual_seed(len(name))
        sizes = {"vocab_size": 300, **shared, **options}
        if name in GPT2S:
            config = GPT2Config(**{"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 24} | sizes)
            model = GPT2LMHeadModel(config)
        else:
            model = MambaForCausalLM(MambaConfig(**{"hidden_size": 8, "num_hidden_layers": 2, "state_size": 16} | sizes))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape))
        model = model.to(dtype)
        model.save_pretrained(FOLDER / name, **({"max_shard_size": shard} if shard else {}))
        bpe.save(str(FOLDER / name / "tokenizer.json"))
        ids = [start, *bpe.encode(TEXT).ids][:24]
        with torch.no_grad():
            z = model.float().eval()(torch.tensor([ids])).logits[0].numpy()
        expected[name] = {"ids": ids, "all_ids": bpe.encode(TEXT).ids, "logits": np.round(z.astype(float), 7).tolist()}
    (FOLDER / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
