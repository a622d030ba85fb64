"""A folder for Hugging Face's transformers: a Transformer as GPT2LMHeadModel, Mamba as MambaForCausalLM, with the tokenizer.

AutoModelForCausalLM and AutoTokenizer read it, to the same token ids, the same logits and the same text. nlm reads an end of line
before every text; so does the tokenizer there. Tested with transformers 5.24.
"""

import json
from typing import IO, Any

import numpy as np

from nlmcli.engine.exchange.format import Format, Write
from nlmcli.engine.exchange.tokenizer_json import tokenizer_json
from nlmcli.engine.run import safetensors
from nlmcli.engine.run.hf_folder import GPT2
from nlmcli.errors import InputError
from nlmcli.models.mamba import WIDTH, N
from nlmcli.text.tokenizer import UNKNOWN

NO_LIMIT = 1 << 20  # tokens


class HF(Format):
    """config.json, model.safetensors, generation_config.json, tokenizer.json and tokenizer_config.json."""

    about = "a folder for Hugging Face's transformers: transformer, mamba"
    usage = 'transformers.AutoModelForCausalLM.from_pretrained("{path}"), transformers.AutoTokenizer.from_pretrained("{path}")'

    def check(self, run):
        s = run.settings
        if s.model not in ("transformer", "mamba") or s.task != "generate":
            raise InputError(f"a run of --model {s.model} --task {s.task} is no language model of transformer or mamba")
        if run.model.cutoffs:
            raise InputError("GPT-2 and Mamba have no adaptive softmax there; train with --softmax full")
        if s.model == "mamba" and run.model.has_output_bias:
            raise InputError("Mamba has no bias in its output layer there, and this model does; train with --no-output-bias")
        if s.model == "mamba" and run.model.channels() % s.model_config().embed:
            raise InputError("Mamba's --hidden is a multiple of --embed there; train with such a one")

    def notes(self, run):
        if run.tokenizer.name not in ("word", "whitespace"):
            return []
        split = "a text must be split there as nlm tokenize shows it, and " if run.tokenizer.name == "word" else ""
        return [f"{split}decoding puts a blank between all words; nlm generate writes them as usual"]

    def files(self, run):
        tensors, config = gpt2(run) if run.settings.model == "transformer" else mamba(run)
        start = run.tokenizer.start
        end = run.tokenizer.newline if run.settings.by == "line" else None
        config |= {"vocab_size": len(run.tokenizer), "bos_token_id": start, "eos_token_id": end, "dtype": "float32"}
        generation = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": start, "do_sample": True}
        # a class of its own, since that of the model would read the file in another way
        about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        about["model_max_length"] = config.get("n_positions", NO_LIMIT)
        if run.tokenizer.unknown is not None:
            about["unk_token"] = UNKNOWN
        return {
            "config.json": document(config),
            "generation_config.json": document(generation),
            "model.safetensors": safetensors.writer(tensors),
            "tokenizer.json": document(tokenizer_json(run.tokenizer)),
            "tokenizer_config.json": document(about),
        }


def document(value: dict[str, Any]) -> Write:
    def write(file: IO[bytes]) -> None:
        file.write(json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n")

    return write


def gpt2(run) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors, and the configuration of GPT2LMHeadModel. Its Conv1D layers have matrices as nlm's are, (inputs, outputs)."""
    P, c = run.P, run.model.config
    tensors = {"transformer.wte.weight": P.E, "transformer.wpe.weight": P.Ep}
    for l in range(c.layers):
        tensors |= {f"transformer.h.{l}.{name}": P[letter][l] for letter, name in GPT2.items()}
    tensors |= {"transformer.ln_f.weight": P.gf, "transformer.ln_f.bias": P.bf}
    if not c.tie:
        tensors["lm_head.weight"] = P.U.T
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_positions": c.context, "n_ctx": c.context}
    config |= {"n_embd": c.embed, "n_layer": c.layers, "n_head": c.heads, "n_inner": run.model.hidden, "tie_word_embeddings": c.tie}
    config |= {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    return tensors, config | {f"{name}_pdrop": c.dropout for name in ("resid", "embd", "attn")}


def mamba(run) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors, and the configuration of MambaForCausalLM. Its linear layers have nlm's matrices transposed."""
    P, c, H = run.P, run.model.config, run.model.channels()
    tensors = {"backbone.embeddings.weight": P.E, "backbone.norm_f.weight": P.gf}
    if not c.tie:
        tensors["lm_head.weight"] = P.U.T
    for l in range(c.layers):
        tensors |= {f"backbone.layers.{l}.{name}": array for name, array in mamba_layer(P, l).items()}
    config = {"architectures": ["MambaForCausalLM"], "model_type": "mamba", "hidden_size": c.embed, "state_size": N}
    config |= {"num_hidden_layers": c.layers, "expand": H // c.embed, "intermediate_size": H, "conv_kernel": WIDTH}
    config |= {"time_step_rank": -(-c.embed // 16), "use_bias": False, "use_conv_bias": True, "hidden_act": "silu"}
    return tensors, config | {"layer_norm_epsilon": 1e-5, "residual_in_fp32": True, "tie_word_embeddings": c.tie}


def mamba_layer(P, l) -> dict[str, np.ndarray]:
    return {
        "norm.weight": P.g[l],
        "mixer.in_proj.weight": np.concatenate([P.Wx[l].T, P.Wz[l].T]),
        "mixer.conv1d.weight": P.K[l].T[:, None, :],
        "mixer.conv1d.bias": P.bK[l],
        "mixer.x_proj.weight": np.concatenate([P.W1[l].T, P.WB[l].T, P.WC[l].T]),
        "mixer.dt_proj.weight": P.W2[l].T,
        "mixer.dt_proj.bias": P.b1[l],
        "mixer.A_log": P.lnA[l].T,
        "mixer.D": P.D[l],
        "mixer.out_proj.weight": P.Wo[l].T,
    }
