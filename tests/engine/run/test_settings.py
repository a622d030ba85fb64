"""The options of a run from YAML files and presets, by their long names; invalid ones are refused in one sentence."""

import inspect
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.cli.train import train
from nlmcli.engine.run import presets
from nlmcli.engine.run.config import read_options
from nlmcli.engine.run.settings import COMMAND_OPTIONS, Settings, options, options_of
from nlmcli.errors import InputError
from nlmcli.models import MODELS

ALL_OPTIONS = {
    "corpus": ["a.txt", "b.txt"], "valid": "c.txt", "valid-fraction": 0.2, "valid-tokens": 9, "by": "line", "encoding": "latin-1",
    "tokenizer": "char", "vocab-size": 50, "min-count": 3, "lowercase": True,
    "task": "classify", "bidirectional": True, "subwords": True, "bigrams": True, "columns": "2,1", "classifier": "tanh",
    "label-smoothing": 0.2, "balance": True, "positive": "a", "init": "runs/a",
    "model": "transformer", "embed": 8, "hidden": 9, "layers": 2, "heads": 4, "context": 7, "add-k": 0.5, "tie": False, "dropout": 0.1,
    "memory": "2G",
    "dropout-kind": "variational", "dropout-words": 0.1, "dropout-recurrent": 0.2, "softmax": "adaptive", "cutoffs": "100,1000",
    "output-bias": False, "embeddings": "e.vec",
    "batch-size": 3, "seq-len": 5, "optimizer": "adamw", "lr": 0.01, "beta": 0.2, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6,
    "weight-decay": 0.3, "gamma": 0.1, "curvature-every": 5,
    "schedule": "linear", "warmup": 4, "clip": 2.0, "epochs": 1.5, "steps": 6, "minutes": 0.5, "eval-every": 2,
    "patience": 5, "average": 0.99, "precision": "bf16", "seed": 11,
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    """file(text) -> the path of a YAML file."""

    def write(text):
        (tmp_path / "run.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "run.yaml"

    return write


def test_every_option_round_trips_by_its_long_name(file):
    assert ALL_OPTIONS.keys() == {name.replace("_", "-") for name in options()}
    settings = Settings.of(**read_options(file(yaml.safe_dump(ALL_OPTIONS))))
    assert settings.to_dict() == ALL_OPTIONS and Settings.from_dict(settings.to_dict()) == settings
    default = Settings()
    assert all(settings.get(name) != default.get(name) for name in options())


def test_values_are_converted_to_the_type_of_the_option(file):
    assert read_options(file("lr: 1e-3\ncorpus: a.txt\nhidden: null\nepochs: 2")) == {
        "lr": 0.001, "corpus": ("a.txt",), "hidden": None, "epochs": 2.0,
    }  # fmt: skip


REFUSED = {
    "hiden: 5": "unknown option 'hiden'; did you mean 'hidden'?",
    "batch_size: 5": "unknown option 'batch_size'; did you mean 'batch-size'?",
    "Hidden: 5": "unknown option 'Hidden'; did you mean 'hidden'?",
    "--lr: 5": "unknown option '--lr'; did you mean 'lr'?",
    "1: 2": "unknown option 1; known: corpus, task, ",
    "threads: 2": "option 'threads' is not a setting of the run; give it on the command line: --threads",
    "hidden: big": "option 'hidden' must be an integer, not 'big'",
    "hidden: 1.5": "option 'hidden' must be an integer, not 1.5",
    "hidden: true": "option 'hidden' must be an integer, not True",
    "hidden: 2026-01-01": "must be an integer, not ",
    "lr: fast": "option 'lr' must be a number, not 'fast'",
    "lr: [1, 2]": "option 'lr' must be a number, not [1, 2]",
    "lr: true": "option 'lr' must be a number, not True",
    f"lr: 1{'0' * 400}": "must be a number, not ",
    "lowercase: 1": "option 'lowercase' must be true or false, not 1",
    "tie: 'no'": "option 'tie' must be true or false, not 'no'",
    "model: on": "option 'model' must be a string, not True",
    "corpus: 5": "option 'corpus' must be a list of strings, not 5",
    "corpus: [5]": "option 'corpus' must be a string, not 5",
    "batch-size: null": "option 'batch-size' must be an integer, not None",
    "": "contains no options; write one per line, as in: hidden: 128",
    "- hidden": "contains no options",
    "hidden": "contains no options",
    "{": "is not valid YAML (while parsing",
    "[" * 5000: "is not valid YAML (",
    "lr: 2026-13-01": "is not valid YAML (month must be in 1..12)",
    "hidden: !!int x": "is not valid YAML (",
    "hidden: !!python/object/apply:os.getcwd []": "is not valid YAML (could not determine a constructor",
    "\0": "is not valid YAML (",
    b"\xff\xff": "is not valid YAML (",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: str(text)[:30])
def test_an_invalid_option_is_refused_in_one_sentence(file, text):
    path = file(text)
    with pytest.raises(InputError) as caught:
        read_options(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and REFUSED[text] in message
    assert "\n" not in message and len(message) < 600 + len(str(path))


def test_a_long_value_is_shortened_in_the_message(file):
    bomb = "x: &a [z, z, z, z, z]\n".replace("x", "hidden") + "lr: &b [*a, *a, *a, *a, *a]\nclip: &c [*b, *b, *b, *b, *b]"
    for text in (bomb, f"hidden: '{'x' * 9999}'"):
        with pytest.raises(InputError) as caught:
            read_options(file(text))
        assert len(str(caught.value)) < 400


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError) as caught:
            read_options(path)
        assert str(caught.value).startswith(f"cannot read {path} (")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        read_options(path)
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", options())
@pytest.mark.parametrize("value", [-1, 0, 10**15, 10**16, 10**400, -math.inf, math.inf, math.nan, 1e-320, 1e308])
def test_any_number_is_accepted_or_refused_in_one_line(name, value):
    model = "ngram" if name == "add_k" else "transformer"
    try:
        given = options_of({name.replace("_", "-"): value, "model": model})
        Settings.of(**given | {"model": model}).check()
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 600


def test_command_line_options_are_no_settings():
    assert not options().keys() & set(COMMAND_OPTIONS)
    assert set(COMMAND_OPTIONS) == set(inspect.signature(train).parameters) - {"ctx", "corpus"}


# presets


@pytest.mark.parametrize("preset", presets.presets(), ids=lambda preset: preset.name)
def test_a_preset_has_a_description_and_valid_options(preset):
    assert preset.about and "corpus" not in preset.options
    Settings.of(**preset.options).check()
    assert presets.preset(preset.name) == preset


def test_shakespeare_gpt_has_the_stated_number_of_parameters():
    preset = presets.preset("shakespeare-gpt")
    s = Settings.of(**preset.options)
    model = MODELS.get(s.model)(s.model_config(), 66, 0)  # the 65 characters of tinyshakespeare, and <unk>
    parameters = sum(map(math.prod, model.shapes().values()))
    assert f"{parameters / 1e6:.1f}M parameters" in preset.about


def test_an_unknown_preset_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match=r"^unknown preset 'shakespear-gtp'; did you mean 'shakespeare-gpt'\?$"):
        presets.preset("shakespear-gtp")
    with pytest.raises(InputError, match=r"^unknown preset 'zzz'; known: .*shakespeare-gpt"):
        presets.preset("zzz")
