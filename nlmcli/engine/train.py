"""Training: a loop that yields records of what happens, and prints nothing."""

import csv
import itertools
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TextIO

import numpy as np
import yaml

from nlmcli import optim, text
from nlmcli.engine import evaluate
from nlmcli.engine.atomic import write_atomically
from nlmcli.engine.data import Batch, Lines, Stream
from nlmcli.engine.encoded import Encoded, encode
from nlmcli.engine.generate import Sampling, generate
from nlmcli.engine.language_model import RUNS, LanguageModel, build
from nlmcli.engine.parallel import Team
from nlmcli.engine.settings import Settings, at_least
from nlmcli.engine.texts import read_texts
from nlmcli.engine.threads import available_threads
from nlmcli.errors import InputError
from nlmcli.optim.clip import clip_scale
from nlmcli.optim.schedule import decay_of, learning_rate
from nlmcli.text.tokenizer import Tokenizer

EPOCHS, LEAST, MOST = 10, 1000, 5000  # where neither --steps nor --epochs says how long: epochs, but so many steps
EVALUATIONS = 10  # where --eval-every does not say how often
LAST = 20  # the training loss that is reported is the mean of so many last steps
SHIPPED_PROMPT = "students opened their"
FORGET = 256  # steps after which the memory of what was read is given back
COLUMNS = ("step", "epoch", "train_loss", "valid_loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds")


@dataclass(frozen=True)
class Started:
    """Before the first step: what will be done."""

    run: Path
    model: str
    parameters: int
    vocabulary: int
    train_tokens: int
    valid_tokens: int
    unknown_rate: float
    steps: int
    tokens_per_step: int
    threads: int
    lr: float
    prompt: str  # words of the text to begin with, when it is done


@dataclass(frozen=True)
class Compiled:
    """The kernels are there.  seconds: nearly none when they came from the cache."""

    seconds: float


@dataclass(frozen=True)
class Stepped:
    """A step was taken.  loss: nats per token of its batch, before the update."""

    step: int
    epoch: float
    loss: float
    lr: float
    gradient_norm: float
    tokens_per_second: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Evaluated:
    """The held-out text was scored.  train_loss: mean since the evaluation before."""

    step: int
    train_loss: float
    valid_loss: float
    best: bool
    sample: str


@dataclass(frozen=True)
class Finished:
    """What `nlm train --json` prints."""

    run: str
    model: str
    parameters: int
    steps: int
    train_loss: float
    valid_loss: float | None
    perplexity: float | None
    floor_perplexity: float | None
    tokens_per_second: float
    seconds: float
    compile_seconds: float
    peak_memory_bytes: int | None
    interrupted: bool


Record = Started | Compiled | Stepped | Evaluated | Finished


@dataclass
class Training:
    """A run in progress: model, data, optimizer, and what has been counted so far."""

    settings: Settings
    out: Path | None = None
    threads: int | None = None
    step: int = 0
    losses: list[float] = field(default_factory=list)  # of every step
    speeds: list[float] = field(default_factory=list)  # tokens per second of every step
    best: float = math.inf
    valid_loss: float | None = None
    stop: bool = False  # set it, and the run ends after the step it is in

    def __post_init__(self) -> None:
        self.settings.check()
        at_least("threads", self.threads, 1)
        Optimizer = optim.optimizer_class(self.settings.optimizer)
        self.lr: float = self.settings.lr or Optimizer.lr
        self.settings = s = replace(self.settings, lr=self.lr)
        self.texts = read_texts(s)
        if not self.texts.train:
            raise InputError(f"--valid-fraction {s.valid_fraction} holds out the whole corpus; lower it, or give a longer text")
        Tokenizer = text.tokenizer_class(s.tokenizer)
        tokenizer = Tokenizer.fit(self.texts.train, vocab_size=s.vocab_size, min_count=s.min_count, lowercase=s.lowercase)
        self.train, self.held_out = (encode(tokenizer, part, s.by) for part in (self.texts.train, self.texts.valid))
        self.data = read_data(s, tokenizer, self.train)
        self.model = build(s, tokenizer)
        P = self.model.initialise(np.random.default_rng(s.seed))
        self.lm = LanguageModel(self.model, P, tokenizer, s, {})
        self.G = P.zeros_like()
        self.optimizer = Optimizer(s.optimizer_config(), P.flat.size)
        self.team = Team(self.model, self.threads or available_threads())
        self.steps = s.steps or (math.ceil(s.epochs * self.data.steps_per_epoch) if s.epochs else default_steps(self.data.steps_per_epoch))
        self.eval_every = max(1, self.steps // EVALUATIONS) if s.eval_every is None else s.eval_every
        if not self.texts.valid:
            self.eval_every = 0
        self.decay = decay_of(s.schedule)
        self.states: list = []

    def run(self) -> Iterator[Record]:
        """Train to the end, or to the end of the step in which `stop` was set; save; tell how it went."""
        self.folder = new_folder(self.out, self.settings)
        yield self.started()
        compile_seconds = self.warm_up()
        yield Compiled(compile_seconds)
        begun = time.perf_counter()
        with open(self.folder / "metrics.csv", "w", newline="", encoding="utf-8") as file:
            metrics = Metrics(file, self.steps)
            for record in self.loop(begun):
                metrics.write(record)
                yield record
        self.save("last.npz")
        yield self.finished(time.perf_counter() - begun, compile_seconds)

    def loop(self, begun: float) -> Iterator[Record]:
        since = 0
        while self.step < self.steps and not self.stop:
            yield self.take_step(begun)
            if self.eval_every and (self.step % self.eval_every == 0 or self.step == self.steps):
                yield self.evaluate(float(np.mean(self.losses[since:])))
                since = self.step

    def take_step(self, begun: float) -> Stepped:
        """One step: batch, forward, backward, clip, update."""
        s, start = self.settings, time.perf_counter()
        batch = self.data.batch(self.step)
        lr = learning_rate(self.lr, self.decay, s.warmup, self.step, self.steps)
        loss, length = self.update(batch, lr)
        seconds = time.perf_counter() - start
        self.losses.append(loss)
        self.speeds.append(np.count_nonzero(batch.y >= 0) / seconds)
        elapsed = time.perf_counter() - begun
        left = elapsed / self.step * (self.steps - self.step)
        return Stepped(self.step, self.step / self.data.steps_per_epoch, loss, lr, length, self.speeds[-1], elapsed, left)

    def update(self, batch: Batch, lr: float) -> tuple[float, float]:
        """Change θ by the gradient of a batch.  -> loss, |g|."""
        P, G, s = self.lm.P, self.G, self.settings
        if batch.fresh:
            self.states = self.team.start(batch.x.shape[1])
        elif batch.restarts is not None:
            self.team.restart(self.states, batch.restarts)
        key = (s.seed, self.step) if s.dropout else None
        loss, self.states = self.team.gradient(P, G, batch, self.states, key)
        length = self.team.norm(G.flat)
        self.step += 1
        scale = clip_scale(length, s.clip)
        self.team.workers.over(P.flat.size, lambda part: self.optimizer.step(P.flat, G.flat, scale, lr, self.step, part))
        if self.step % FORGET == 0:
            self.train.forget()
        return loss, length

    def warm_up(self) -> float:
        """Have every kernel compiled (or read from the cache) by a first step that changes nothing.  -> seconds."""
        start = time.perf_counter()
        batch, s = self.data.batch(0), self.settings
        states = self.team.start(batch.x.shape[1])
        self.team.gradient(self.lm.P, self.G, batch, states, (s.seed, 0) if s.dropout else None)
        self.team.norm(self.G.flat)
        one = np.zeros(1, np.float32)
        type(self.optimizer)(self.optimizer.config, 1).step(one, one, 1.0, 0.0, 1)
        return time.perf_counter() - start

    def evaluate(self, train_loss: float) -> Evaluated:
        """Score the held-out text, keep the best parameters, and write a few words."""
        score = evaluate.score(self.lm, self.held_out)
        self.valid_loss = score.nats / score.tokens
        best = self.valid_loss < self.best
        self.best = min(self.best, self.valid_loss)
        if best:
            self.save("best.npz")
        self.save("last.npz")
        length = 30 if self.settings.tokenizer in ("word", "whitespace") else 120
        ids = np.array(list(itertools.chain(*generate(self.lm, length=length, seed=self.settings.seed, sampling=Sampling(0.8)))))
        return Evaluated(self.step, train_loss, self.valid_loss, best, self.lm.tokenizer.decode(ids))

    def save(self, name: str) -> None:
        self.lm.about = {"step": self.step, "steps": self.steps, "valid_loss": self.valid_loss, "best": finite(self.best)}
        more = {f"optimizer.{key}": value for key, value in self.optimizer.memory.items()}
        self.lm.save(self.folder / name, more if name == "last.npz" else None)

    def started(self) -> Started:
        write_atomically(self.folder / "config.yaml", lambda file: file.write(self.config().encode()))
        tokenizer, counts = self.lm.tokenizer, self.lm.tokenizer.counts
        return Started(
            run=self.folder,
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            vocabulary=len(tokenizer),
            train_tokens=self.data.tokens,
            valid_tokens=len(self.held_out),
            unknown_rate=counts[tokenizer.unknown] / counts.sum() if tokenizer.unknown is not None else 0.0,
            steps=self.steps,
            tokens_per_step=round(self.data.tokens / self.data.steps_per_epoch),
            threads=self.team.threads,
            lr=self.lr,
            prompt=self.texts.opening() if self.settings.corpus else SHIPPED_PROMPT,
        )

    def config(self) -> str:
        return yaml.safe_dump(self.settings.to_dict(), sort_keys=False, allow_unicode=True)

    def finished(self, seconds: float, compile_seconds: float) -> Finished:
        valid, floor = finite(self.best), None
        if self.texts.floor:
            floor = evaluate.perplexity(self.texts.floor / len(self.held_out))
        return Finished(
            run=str(self.folder),
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            steps=self.step,
            train_loss=float(np.mean(self.losses[-LAST:])) if self.losses else math.nan,
            valid_loss=valid,
            perplexity=None if valid is None else evaluate.perplexity(valid),
            floor_perplexity=floor,
            tokens_per_second=median(self.speeds) if self.speeds else 0.0,
            seconds=seconds,
            compile_seconds=compile_seconds,
            peak_memory_bytes=peak_memory(),
            interrupted=self.step < self.steps,
        )


class Metrics:
    """metrics.csv: a row for every two hundredth part of the run, and one for each evaluation."""

    def __init__(self, file: TextIO, steps: int):
        self.every = max(1, steps // 200)
        self.file = file
        self.rows = csv.writer(file)
        self.rows.writerow(COLUMNS)
        self.losses: list[float] = []

    def write(self, record: Record) -> None:
        """Note a step or an evaluation."""
        if isinstance(record, Stepped):
            self.last = record
            self.losses.append(record.loss)
            if record.step % self.every == 0:
                self.row(float(np.mean(self.losses)), None)
                self.losses.clear()
        elif isinstance(record, Evaluated):
            self.row(record.train_loss, record.valid_loss)

    def row(self, train_loss: float, valid_loss: float | None) -> None:
        r = self.last
        numbers = (r.epoch, train_loss, valid_loss, r.lr, r.gradient_norm, r.tokens_per_second, r.seconds)
        self.rows.writerow([r.step, *("" if x is None else f"{x:.6g}" for x in numbers)])
        self.file.flush()


def read_data(settings: Settings, tokenizer: Tokenizer, train: Encoded) -> Stream | Lines:
    """The text to train on, as the settings read it."""
    s = settings
    if s.by == "stream":
        return Stream(train.ids, tokenizer.newline, s.batch_size, s.seq_len, s.seed)
    return Lines(train.lines(), tokenizer.newline, s.batch_size, s.seq_len, s.seed)


def new_folder(out: Path | None, settings: Settings) -> Path:
    """The run's folder, made.  Raises InputError where there is a run already, or no folder can be made."""
    corpus = Path(settings.corpus[0]).stem if settings.corpus else "students"
    numbered = (RUNS / f"{corpus}-{settings.model}-{n}" for n in itertools.count(1))
    folder = out or next(path for path in numbered if not path.exists())
    if (folder / "last.npz").exists():
        raise InputError(f"{folder} holds a run already; give another --out, or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror})") from None
    return folder


def default_steps(steps_per_epoch: int) -> int:
    """Ten epochs, but enough steps to learn from a short text, and not more than a few minutes' worth of a long one."""
    return min(max(EPOCHS * steps_per_epoch, LEAST), MOST)


def finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def peak_memory() -> int | None:
    """The most memory this process ever held, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
