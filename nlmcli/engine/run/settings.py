"""The settings of a run, one field per option. Same settings and same text give the same bits, except with --minutes."""

from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from typing import Any

from nlmcli.errors import InputError, suggest
from nlmcli.heads import HEADS
from nlmcli.models import MODELS, neural_names
from nlmcli.nn.precision import PRECISIONS
from nlmcli.optim import OPTIMIZERS
from nlmcli.optim.base.schedule import DECAYS
from nlmcli.options import ADVANCED, OptionField, dashed, long_name, option, option_fields
from nlmcli.registry import Registry
from nlmcli.text.tokenizers import TOKENIZERS

LENGTHS = ("steps", "epochs", "minutes")  # of which at most one may be given
COMMAND_OPTIONS = ("config", "debug", "json", "out", "plot", "preset", "presets", "quiet", "resume", "threads")  # do not affect the result

of_task = partial(option, panel="Task")
of_text = partial(option, panel="Text")
of_model = partial(option, panel="Model")
of_training = partial(option, panel="Training", gradient=True)

TOKENIZER = f"Tokenizer: {', '.join(TOKENIZERS.names())}, or a .json file; whitespace expects text that is already tokenized."
TASK = "What to learn: {names}. All but generate learn from labelled texts, or words."
INIT = "Start from a trained run: its tokenizer, model, sizes and encoder, with a new head for another task."
EMBEDDINGS = "Start from the word vectors in this text file (word2vec, GloVe, fastText), as far as it has the tokens."
SEQ_LEN = "Sequence length of truncated back-propagation through time (BPTT); of labelled texts, the longest text that is read."
BY = "How the corpus is read: stream (one continuous text) or line (each line is a separate example)."
HELD_OUT = "Fraction held out for validation: the end of a stream, or that share of the distinct lines."
VALID_TOKENS = "Validate on the first N held-out tokens only, up to the end of a line; nlm eval scores all of them."
MIN_COUNT = "Minimum count: rarer types become <unk>; for bpe, rarer pairs are not merged."
SCHEDULE = "Learning-rate schedule: {names}; plateau divides the rate by 4 after each evaluation without improvement."
MINUTES = "Training length in minutes, including evaluations; linear and cosine schedules then follow the elapsed time."
STEPS = "ten epochs, but at least 1,000 and at most 5,000 steps, 10,000 on labelled texts"
AVERAGE = "Weight averaging: evaluate and save an exponential moving average of the parameters with this decay, such as 0.999."
PRECISION = "Precision of matrix products: {names}; bf16 rounds their inputs to bfloat16, in half the time on CPUs that have it."
PATIENCE = "Early stopping: stop after N consecutive evaluations without improvement."


@dataclass(frozen=True)
class Settings:
    """The options of `nlm train`; None means the default of the model, the optimizer or the tokenizer."""

    corpus: tuple[str, ...] = of_text((), "Text files, concatenated in this order.", default_text="the corpus that ships with nlm")

    task: str = of_task("generate", TASK, "NAME", choices=HEADS)
    init: str | None = of_task(None, INIT, "RUN", default_text="none")

    model: str = of_model("rnn", "Architecture: {names}.", "NAME", choices=MODELS)

    embeddings: str | None = of_model(None, EMBEDDINGS, "FILE", gradient=True, default_text="random")

    valid: str | None = of_text(None, "Validation text file.", "FILE", default_text="a held-out part of the corpus")
    valid_fraction: float = of_text(0.1, HELD_OUT, "X", least=0, below=1)
    valid_tokens: int | None = of_text(None, VALID_TOKENS, "N", least=1, default_text="all")
    by: str = of_text("stream", BY, "MODE", choices=lambda: ("stream", "line"))
    encoding: str = of_text("utf-8", "Character encoding of the files.", "NAME")
    tokenizer: str = of_text("word", TOKENIZER, "NAME")
    vocab_size: int | None = of_text(None, "Maximum vocabulary size: rarer types become <unk>.", "N", default_text="no limit; bpe: 8192")
    min_count: int | None = of_text(None, MIN_COUNT, "N", default_text="1; word, bpe: 2")
    lowercase: bool = of_text(False, "Lowercase the text.")

    batch_size: int = of_training(32, "Batch size: sequences processed in parallel.", "B", least=1)
    seq_len: int = of_training(64, SEQ_LEN, "T", least=1)
    optimizer: str = of_training("adam", "Optimizer: {names}.", "NAME", choices=OPTIMIZERS)
    lr: float | None = of_training(None, "Peak learning rate.", "X", above=0, default_text="depends on optimizer, model and length")
    schedule: str = of_training("cosine", SCHEDULE, "NAME", choices=lambda: list(DECAYS))
    warmup: int = of_training(0, "Warm-up steps, over which the learning rate rises linearly to its peak.", "N", least=0)
    clip: float = of_training(1.0, "Gradient clipping: maximum global norm; 0 disables clipping.", "X", least=0)
    epochs: float | None = of_training(None, "Training length in epochs (passes over the training text).", "X", above=0)
    steps: int | None = of_training(None, "Training length in steps, one batch each.", "N", least=1, default_text=STEPS)
    minutes: float | None = of_training(None, MINUTES, "X", above=0)
    eval_every: int | None = of_training(None, "Evaluate every N steps; 0: never.", "N", least=0, default_text="ten times per run")
    patience: int | None = of_training(None, PATIENCE, "N", least=1)
    average: float | None = option(None, AVERAGE, "X", panel=ADVANCED, gradient=True, least=0, below=1)
    precision: str = option("float32", PRECISION, "NAME", panel=ADVANCED, gradient=True, choices=lambda: PRECISIONS)
    seed: int = option(1, "Random seed: the same seed gives the same model, bit for bit.", "N", panel="Training", least=0)

    config: dict[str, Any] = field(default_factory=dict)  # the given options of task, model and optimizer

    @classmethod
    def of(cls, **given: Any) -> "Settings":
        """Settings from options by field name, including those of task, model and optimizer; of others the task's defaults."""
        given = {**task_defaults(given), **{name: value for name, value in given.items() if value is not None}}
        own = {each.name for each in fields(cls)}
        config = {name: value for name, value in given.items() if name not in own and value is not None}
        return cls(**{name: value for name, value in given.items() if name in own}, config=config)

    def by_field(self) -> dict[str, Any]:
        """The options by field name, without those of model and optimizer that were not given."""
        return {name: value for name, value in vars(self).items() if name != "config"} | self.config

    def get(self, name: str) -> Any:
        """The value of an option; None if it was left to the model or the optimizer."""
        return self.by_field().get(name)

    def check(self) -> None:
        """Raises InputError for the first value that is out of range or unknown, or an option that the model or optimizer does not have."""
        for name, each in own_options().items():
            each.option.check(name, self.get(name))
        lengths = [dashed(name) for name in LENGTHS if self.get(name) is not None]
        if len(lengths) > 1:
            raise InputError(f"{' and '.join(lengths)} each set the training length; give only one of them")
        if self.init and self.embeddings:
            raise InputError("--init and --embeddings both set the embeddings; give only one of them")
        self.model_config(), self.optimizer_config(), self.task_config()
        if HEADS.get(self.task).labelled and not MODELS.get(self.model).neural:
            raise InputError(f"model {self.model} has no encoder that task {self.task} could read; give one of {', '.join(neural_names())}")
        if HEADS.get(self.task).labelled and self.get("softmax") == "adaptive":
            raise InputError(f"--softmax adaptive is an output layer over the vocabulary, and task {self.task} has none; leave it out")
        if HEADS.get(self.task).labelled and self.valid_tokens:
            raise InputError(f"--valid-tokens applies to texts without labels, and task {self.task} has examples; leave it out")
        if not MODELS.get(self.model).neural:
            self.refuse_gradient_options()

    def refuse_gradient_options(self) -> None:
        """Raises InputError for an option of gradient descent, for a count-based model."""
        for name, each in options().items():
            if (each.option.gradient or each.owner == "optimizer") and self.get(name) not in (None, each.default):
                has = ", ".join(map(dashed, option_fields(MODELS.get(self.model).Config)))
                raise InputError(f"model {self.model} is count-based and has no {dashed(name)}; its options: {has}")

    def model_config(self) -> Any:
        """The model's Config.  Raises InputError for an option that this model does not have."""
        return self.config_of("model")

    def optimizer_config(self) -> Any:
        """The optimizer's Config.  Raises InputError for an option that this optimizer does not have."""
        return self.config_of("optimizer")

    def task_config(self) -> Any:
        """The task's Config.  Raises InputError for an option that this task does not have."""
        return self.config_of("task")

    def config_of(self, owner: str) -> Any:
        """The Config of the class chosen by the option `owner`."""
        name, registry = self.get(owner), own_options()[owner].option.choices
        assert isinstance(registry, Registry)
        Config = registry.get(name).Config
        has = option_fields(Config)
        given = {each: value for each, value in self.config.items() if options()[each].owner == owner}
        for each, value in given.items():
            if each not in has:
                raise InputError(f"{owner} {name} has no {dashed(each)}; its options: {', '.join(map(dashed, has)) or 'none'}")
            has[each].option.check(each, value)
        return Config(**given)

    def to_dict(self) -> dict[str, Any]:
        """The options by long name, in the order of the help, without those that are None."""
        given = {name: self.get(name) for name in options()}
        return {long_name(name): list(v) if isinstance(v, tuple) else v for name, v in given.items() if v not in (None, ())}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> "Settings":
        """Settings from options by long name.  Raises InputError for an unknown name or a value of the wrong type."""
        return cls.of(**options_of(given))


def task_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """The defaults of the task by field name, without those that the model does not have."""
    defaults = HEADS.get(given.get("task") or "generate").defaults
    model = MODELS.get(given.get("model") or defaults.get("model", "rnn"))
    has = own_options().keys() | option_fields(model.Config)
    if given.get("tokenizer") not in (None, "word", "whitespace"):
        has -= {"min_count"}
    return {name: value for name, value in defaults.items() if name in has}


@cache
def own_options() -> dict[str, OptionField]:
    """The options that every run has, whichever its model and optimizer."""
    return {name: each for name, each in option_fields(Settings).items() if name != "config"}


@cache
def options() -> dict[str, OptionField]:
    """All options, in the order of the help: those of the models follow `model`, those of the optimizers follow `optimizer`."""
    merged: dict[str, OptionField] = {}
    for name, own in own_options().items():
        more = {name: own} | (member_options(own, own.option.choices) if isinstance(own.option.choices, Registry) else {})
        if duplicates := merged.keys() & more:
            raise LookupError(f"two options are named {dashed(duplicates.pop())}; rename the field of one Config")
        merged |= more
    differing = defaults_by_task()
    return {name: replace(each, by_task=differing.get(name, {})) for name, each in merged.items()}


def defaults_by_task() -> dict[str, dict[str, str]]:
    """The options whose defaults differ by task: each default in words, with the tasks that have it."""
    differing: dict[str, dict[str, str]] = {}
    for task, Task in HEADS.members().items():
        for name, value in Task.defaults.items():
            tasks = differing.setdefault(name, {})
            tasks[str(value)] = f"{tasks[str(value)]}, {task}" if str(value) in tasks else task
    return differing


def member_options(own: OptionField, registry: Registry[Any]) -> dict[str, OptionField]:
    """The fields of all Configs in a registry, the most widely shared first."""
    merged: dict[str, OptionField] = {}
    for member, Class in registry.members().items():
        for name, each in option_fields(Class.Config).items():
            known = merged.get(name, each)
            shared = known.option if known.option.help else each.option
            shared = replace(shared, panel=shared.panel or own.option.panel)
            members = known.members | {member: each.default_text() or ("off" if each.kind is bool else "none")}
            lacking = tuple(other for other in registry.names() if other not in members)
            merged[name] = replace(known, option=shared, optional=True, default=None, owner=own.name, members=members, lacking=lacking)
    return dict(sorted(merged.items(), key=lambda item: -len(item[1].members)))


def options_of(given: dict[str, Any]) -> dict[str, Any]:
    """Options by field name, from options by long name.

    Raises InputError for an unknown name or a value of the wrong type.
    """
    known = {long_name(name): each for name, each in options().items()}
    for name in given:
        if name in COMMAND_OPTIONS:
            raise InputError(f"option {name!r} is not a setting of the run; give it on the command line: --{name}")
        if name not in known:
            raise InputError(f"unknown option {name!r}{suggest(str(name), known)}")
    return {known[name].name: known[name].value(value) for name, value in given.items()}
