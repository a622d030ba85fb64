"""Where a run starts from: random parameters, the encoder of another run (--init), or given word vectors (--embeddings)."""

from pathlib import Path
from typing import Any

from nlmcli.engine.exchange.vectors import read_vectors
from nlmcli.engine.run.saved import Saved, load, read
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.run.task_model import TaskModel
from nlmcli.errors import InputError
from nlmcli.models import MODELS
from nlmcli.nn.params import Params
from nlmcli.options import dashed

FREE = ("dropout",)  # options of a model that do not change its parameters
OF_OUTPUT = ("softmax", "cutoffs")  # options of a model that do not change its encoder
OF_TOKENIZER = ("tokenizer", "vocab_size", "min_count", "lowercase")


def starting_run(s: Settings, resumed: Path | None) -> Saved | None:
    """The run that this one starts from; of a resumed one its own last checkpoint, since the other run may be gone."""
    if not s.init:
        return None
    return read(resumed / "last.npz") if resumed else load(Path(s.init))


def copy_encoder(source: Saved, P: Params) -> None:
    """Copy the parameters that both have: those of the encoder, without the head."""
    shapes = source.model.encoder_shapes()
    is_same_task = set(P.shapes) == set(source.P.shapes)
    for name, shape in P.shapes.items():
        if (name in shapes and shapes[name] == shape) or (is_same_task and source.P.shapes[name] == shape):
            P[name][...] = source.P[name]


def copy_vectors(path: Path, run: Saved) -> int:
    """Set the embedding of every token that a file of word vectors has.  -> their number

    Raises InputError if it has none of them, or vectors of another width.
    """
    shown = {run.tokenizer.piece(i): i for i in range(len(run.tokenizer))}  # as nlm export writes them
    vectors = read_vectors(path, run.P.E.shape[1], shown | run.tokenizer.index)
    if not vectors:
        raise InputError(
            f"{path} has a vector for none of the {len(run.tokenizer):,} types; is it of another language, or of another case?"
        )
    for row, vector in vectors.items():
        run.P.E[row] = vector
    return len(vectors)


def with_init(given: dict[str, Any]) -> dict[str, Any]:
    """Options of a run by field name, completed by what --init brings: model, sizes and tokenizer.

    Raises InputError for an option that says otherwise.
    """
    if not given.get("init"):
        return given
    run = load(Path(given["init"]))
    s = run.settings
    if not MODELS.get(s.model).neural:
        raise InputError(f"--init {given['init']}: model {s.model} is count-based and has no encoder; give a run of a neural model")
    sizes = {name: value for name, value in vars(s.model_config()).items() if name not in FREE}
    brought = {"model": s.model, **sizes, **{name: s.get(name) for name in OF_TOKENIZER}}
    if isinstance(run, TaskModel):
        encoder = run.model.encoder
        brought |= {
            "bidirectional": s.task_config().bidirectional,
            "bigrams": encoder.pairs > 0,
            "subwords": encoder.buckets > 0,
        }
    if given.get("task", "generate") != "generate":
        brought = {name: value for name, value in brought.items() if name not in OF_OUTPUT}
    if not isinstance(run, TaskModel) and given.get("task", "generate") != "generate":
        brought |= {"bidirectional": False}
    for name, value in brought.items():
        if given.get(name) not in (None, value):
            raise InputError(f"{dashed(name)} {given[name]} comes from --init, where it is {value}; leave it out")
    return given | {name: value for name, value in brought.items() if value is not None}
