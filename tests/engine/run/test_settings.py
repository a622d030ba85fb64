"""Where a run's options come from: YAML files and presets, each option by its long name; and what is refused in one sentence."""

import inspect
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nlmcli.cli.train import train
from nlmcli.engine.run import presets
from nlmcli.engine.run.config import read_options
from nlmcli.engine.run.settings import COMMAND, Settings, options, options_of
from nlmcli.errors import InputError
from nlmcli.models import MODELS

EVERY = {
    "corpus": ["a.txt", "b.txt"], "valid": "c.txt", "valid-fraction": 0.2, "by": "line", "encoding": "latin-1",
    "tokenizer": "char", "vocab-size": 50, "min-count": 3, "lowercase": True,
    "model": "transformer", "embed": 8, "hidden": 9, "layers": 2, "heads": 4, "context": 7, "add-k": 0.5, "tie": False, "dropout": 0.1,
    "batch-size": 3, "seq-len": 5, "optimizer": "adamw", "lr": 0.01, "beta": 0.2, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6,
    "weight-decay": 0.3, "gamma": 0.1, "curvature-every": 5,
    "schedule": "linear", "warmup": 4, "clip": 2.0, "epochs": 1.5, "steps": 6, "minutes": 0.5, "eval-every": 2,
    "patience": 5, "seed": 11,
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    """file(text) -> the path of a YAML file."""

    def write(text):
        (tmp_path / "run.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "run.yaml"

    return write


def test_every_option_has_its_long_name_and_comes_back(file):
    assert EVERY.keys() == {name.replace("_", "-") for name in options()}
    found = Settings.of(**read_options(file(yaml.safe_dump(EVERY))))
    assert found.to_dict() == EVERY and Settings.from_dict(found.to_dict()) == found
    default = Settings()
    assert all(found.get(name) != default.get(name) for name in options())


def test_values_are_read_as_they_are_meant(file):
    assert read_options(file("lr: 1e-3\ncorpus: a.txt\nhidden: null\nepochs: 2")) == {
        "lr": 0.001, "corpus": ("a.txt",), "hidden": None, "epochs": 2.0,
    }  # fmt: skip


REFUSED = {
    "hiden: 5": "unknown option 'hiden'; did you mean 'hidden'?",
    "batch_size: 5": "unknown option 'batch_size'; did you mean 'batch-size'?",
    "Hidden: 5": "unknown option 'Hidden'; did you mean 'hidden'?",
    "--lr: 5": "unknown option '--lr'; did you mean 'lr'?",
    "1: 2": "unknown option 1; known: corpus, model, ",
    "threads: 2": "option 'threads' is not kept with a run's; give it on the command line: --threads",
    "hidden: big": "option 'hidden' is 'big', which is not a whole number",
    "hidden: 1.5": "option 'hidden' is 1.5, which is not a whole number",
    "hidden: true": "option 'hidden' is True, which is not a whole number",
    "hidden: 2026-01-01": "which is not a whole number",
    "lr: fast": "option 'lr' is 'fast', which is not a number",
    "lr: [1, 2]": "option 'lr' is [1, 2], which is not a number",
    "lr: true": "option 'lr' is True, which is not a number",
    f"lr: 1{'0' * 400}": "which is not a number",
    "lowercase: 1": "option 'lowercase' is 1, which is not true or false",
    "tie: 'no'": "option 'tie' is 'no', which is not true or false",
    "model: on": "option 'model' is True, which is not a text",
    "corpus: 5": "option 'corpus' is 5, which is not a list of texts",
    "corpus: [5]": "option 'corpus' is 5, which is not a text",
    "batch-size: null": "option 'batch-size' is None, which is not a whole number",
    "": "holds no options; write one a line, as in: hidden: 128",
    "- hidden": "holds no options",
    "hidden": "holds no options",
    "{": "is no YAML (while parsing",
    "[" * 5000: "is no YAML (",
    "lr: 2026-13-01": "is no YAML (month must be in 1..12)",
    "hidden: !!int x": "is no YAML (",
    "hidden: !!python/object/apply:os.getcwd []": "is no YAML (could not determine a constructor",
    "\0": "is no YAML (",
    b"\xff\xff": "is no YAML (",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: str(text)[:30])
def test_what_is_no_option_is_one_sentence(file, text):
    path = file(text)
    with pytest.raises(InputError) as caught:
        read_options(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and REFUSED[text] in said
    assert "\n" not in said and len(said) < 600 + len(str(path))


def test_a_long_value_is_shortened_in_what_is_said(file):
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
def test_any_bytes_are_options_or_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        read_options(path)
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", options())
@pytest.mark.parametrize("value", [-1, 0, 10**15, 10**16, 10**400, -math.inf, math.inf, math.nan, 1e-320, 1e308])
def test_any_number_is_taken_or_refused_in_a_sentence(name, value):
    model = "ngram" if name == "add_k" else "transformer"
    try:
        given = options_of({name.replace("_", "-"): value, "model": model})
        Settings.of(**given | {"model": model}).check()
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 600


def test_what_is_for_the_command_line_only_is_no_setting():
    assert not options().keys() & set(COMMAND)
    assert set(COMMAND) == set(inspect.signature(train).parameters) - {"ctx", "corpus"}


# presets


@pytest.mark.parametrize("preset", presets.presets(), ids=lambda preset: preset.name)
def test_a_preset_says_what_it_is_and_all_its_options_can_be_meant(preset):
    assert preset.about and "corpus" not in preset.options
    Settings.of(**preset.options).check()
    assert presets.preset(preset.name) == preset


def test_the_gpt_for_shakespeare_has_the_parameters_it_says():
    preset = presets.preset("shakespeare-gpt")
    s = Settings.of(**preset.options)
    model = MODELS.get(s.model)(s.model_config(), 66, 0)  # tinyshakespeare has 65 characters, and there is <unk>
    parameters = sum(map(math.prod, model.shapes().values()))
    assert f"{parameters / 1e6:.1f}M parameters" in preset.about


def test_an_unknown_preset_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match=r"^unknown preset 'shakespear-gtp'; did you mean 'shakespeare-gpt'\?$"):
        presets.preset("shakespear-gtp")
    with pytest.raises(InputError, match=r"^unknown preset 'zzz'; known: .*shakespeare-gpt"):
        presets.preset("zzz")
