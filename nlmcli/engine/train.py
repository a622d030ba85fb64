"""Training: a loop that yields records of what happens, and prints nothing."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from nlmcli import models, optim
from nlmcli.engine import checkpoint, evaluate, memory
from nlmcli.engine.data import Batch
from nlmcli.engine.encoded import encode
from nlmcli.engine.language_model import LanguageModel, build
from nlmcli.engine.length import every, length_of
from nlmcli.engine.metrics import Metrics, open_at
from nlmcli.engine.parallel import Team, shards_of
from nlmcli.engine.records import Compiled, Evaluated, Finished, Record, RolledBack, Started, Stepped
from nlmcli.engine.resume import progress_of, restore, settings_of
from nlmcli.engine.runs import (
    finite,
    floor_perplexity,
    new_folder,
    prompt_of,
    read_and_fit,
    read_data,
    sample_of,
    unknown_rate,
    write_config,
)
from nlmcli.engine.settings import Settings, at_least
from nlmcli.engine.threads import MOST_THREADS, available_threads, quiet
from nlmcli.errors import InputError
from nlmcli.optim.clip import clip_scale
from nlmcli.optim.schedule import Schedule

ROWS = 200  # of steps in metrics.csv
EVALUATIONS = 10  # where --eval-every does not say how often
LAST = 20  # the training loss that is reported is the mean of so many last steps
SAVE_SECONDS = 30  # how much of a run may be lost
TRIES, FEW, EXPLODED = 3, 10, 2.0  # roll-backs; steps whose mean loss may not be so many times that of guessing
FORGET = 256  # steps after which the memory of what was read is given back


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
    since: int = 0  # the step of the last evaluation
    waited: int = 0  # evaluations since the best one
    troubles: int = 0  # how often it was rolled back
    stepping: float = 0.0  # seconds that went into steps
    evaluating: float = 0.0  # seconds of the last evaluation
    valid_loss: float | None = None
    bits: float | None = None  # per character of the held-out text, when it was best
    seconds: float = 0.0  # of training so far
    over: bool = False  # the run has come to its end
    pending: int = 0  # losses that had no row in metrics.csv yet when it was saved
    resumes: bool = False  # goes on with what is saved in its folder
    stop: bool = False  # set it, and the run ends after the step it is in

    def __post_init__(self) -> None:
        self.settings.check()
        at_least("threads", self.threads, 1, MOST_THREADS)
        Optimizer = optim.optimizer_class(self.settings.optimizer)
        self.lr: float = self.settings.lr or Optimizer.lr * models.model_class(self.settings.model).lr_scale
        self.settings = s = replace(self.settings, lr=self.lr)
        self.texts, tokenizer = read_and_fit(s)
        self.train, self.held_out = (encode(tokenizer, part, s.by) for part in (self.texts.train, self.texts.valid))
        self.data = read_data(s, tokenizer, self.train)
        self.model = build(s, tokenizer)
        parameters = sum(map(math.prod, self.model.shapes().values()))
        self.memory = memory.check(parameters, len(Optimizer.remembers), len(shards_of(s.batch_size)))
        P = self.model.initialise(np.random.default_rng(s.seed))
        self.lm = LanguageModel(self.model, P, tokenizer, s, {})
        self.G = P.zeros_like()
        self.optimizer = Optimizer(s.optimizer_config(), P.flat.size, decayed=P.slices(self.model.matrices()))
        self.team = Team(self.model, self.threads or available_threads())
        self.length = length_of(s, self.data.steps_per_epoch)
        self.steps = self.length.steps
        self.evaluates = bool(self.texts.valid) and s.eval_every != 0
        self.check_validation()
        self.schedule = Schedule(s.schedule, self.lr, s.warmup)
        self.states: list = []

    def check_validation(self) -> None:
        """Raises InputError where an option goes by validation and there is none."""
        needs = "--schedule plateau" if self.settings.schedule == "plateau" else self.settings.patience and "--patience"
        if needs and not self.evaluates:
            raise InputError(f"{needs} goes by validation, and there is none; give --valid FILE, or more --valid-fraction or --eval-every")

    @classmethod
    def resumed(cls, folder: Path, given: dict[str, Any], threads: int | None = None) -> "Training":
        """The run in a folder, to go on where it was saved; given: options, of which only the length may be another.

        Raises InputError where there is nothing to go on with.
        """
        run = cls(settings_of(folder, given), folder, threads, resumes=True)
        run.folder = folder
        arrays, about = checkpoint.load(folder / "last.npz")
        run.pending = restore(run, arrays, about)
        if run.length.over(run.step, run.seconds):
            raise InputError(f"{folder} came to its end after {run.step:,} steps; give more --steps, --epochs or --minutes to go on")
        return run

    def open_metrics(self) -> None:
        """Open metrics.csv after the rows of the steps that are done."""
        file = open_at(self.folder / "metrics.csv", self.step if self.resumes else -1)
        self.metrics = Metrics(file, self.length.times(ROWS), self.losses[len(self.losses) - self.pending :])

    def run(self) -> Iterator[Record]:
        """Train to the end, or to the end of the step in which `stop` was set; save; tell how it went."""
        if not self.resumes:
            self.folder = new_folder(self.out, self.settings)
        else:
            write_config(self.folder, self.settings)  # its length may be another
        yield self.started()
        compile_seconds = self.warm_up()
        yield Compiled(compile_seconds, self.warm_up())
        self.begun = time.perf_counter() - self.seconds
        self.open_metrics()
        try:
            self.save("last.npz")
            for record in self.loop():
                self.metrics.write(record)
                self.keep(record)
                yield record
            self.save("last.npz")
        finally:
            self.metrics.file.close()
        yield self.finished(compile_seconds)

    def loop(self) -> Iterator[Record]:
        given = self.settings.eval_every
        due = self.length.times(EVALUATIONS, self.stepping) if given is None else every(given)
        while not (self.over or self.stop):
            step = self.take_step()
            if self.in_trouble(step):
                yield self.roll_back(step.loss if math.isfinite(step.gradient_norm) else math.nan)
                continue
            yield step
            self.over = self.is_over()
            if self.evaluates and (due(self.step, self.stepping) or self.over):
                score = self.evaluate()
                exploded = self.exploded(score.valid_loss) and self.exploded(score.train_loss)  # else it may have overfitted
                yield self.roll_back(score.valid_loss) if exploded or not math.isfinite(score.valid_loss) else score
                self.over = self.is_over()

    def keep(self, record: Record) -> None:
        """Save after an evaluation, and now and then. The record is in metrics.csv by then: what is saved is never ahead of it."""
        if isinstance(record, Evaluated) and record.best:
            self.save("best.npz")
        if isinstance(record, Evaluated | RolledBack) or time.perf_counter() > self.saved + SAVE_SECONDS:
            self.save("last.npz")

    def in_trouble(self, step: Stepped) -> bool:
        """Whether loss or gradient is no number, or the last few losses are far above that of guessing."""
        few = self.losses[-FEW:]
        exploded = len(few) == FEW and self.exploded(sum(few) / FEW)
        return exploded or not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm))

    def exploded(self, loss: float) -> bool:
        return loss > EXPLODED * math.log(max(2, self.model.V))

    def roll_back(self, loss: float) -> RolledBack:
        """Back to what was saved last, with half the learning rate."""
        step, troubles, peak = self.step, self.troubles + 1, self.schedule.peak / 2
        self.metrics.file.close()
        arrays, about = checkpoint.load(self.folder / "last.npz")
        self.pending = restore(self, arrays, about)
        self.resumes, self.troubles, self.schedule.peak = True, troubles, peak
        self.over = troubles > TRIES
        self.open_metrics()
        return RolledBack(step, loss, self.step, peak)

    def is_over(self) -> bool:
        """Whether the run has had its length, or as much of it as leaves time for a last evaluation, or patience has ended."""
        seconds = time.perf_counter() - self.begun + self.evaluating
        return self.length.over(self.step, seconds) or self.waited == self.settings.patience or self.troubles > TRIES

    def take_step(self) -> Stepped:
        """One step: batch, forward, backward, clip, update."""
        start = time.perf_counter()
        batch = self.data.batch(self.step)
        lr = self.schedule.rate(self.step, self.length.progress(self.step, start - self.begun))
        loss, length = self.update(batch, lr)
        seconds = time.perf_counter() - start
        self.stepping += seconds
        self.losses.append(loss)
        self.speeds.append(np.count_nonzero(batch.y >= 0) / seconds)
        self.seconds = elapsed = time.perf_counter() - self.begun
        left = self.length.left(self.step, elapsed)
        return Stepped(self.step, self.step / self.data.steps_per_epoch, loss, lr, length, self.speeds[-1], elapsed, left)

    def update(self, batch: Batch, lr: float) -> tuple[float, float]:
        """Change θ by the gradient of a batch.  -> loss, |g|."""
        P, G, s = self.lm.P, self.G, self.settings
        if batch.fresh:
            self.states = self.team.start(batch.x.shape[1])
        elif batch.restarts is not None:
            self.team.restart(self.states, batch.restarts)
        key = (s.seed, self.step)
        if self.optimizer.wants_curvature(self.step + 1):
            self.measure(batch, key)
        loss, length, self.states = self.team.gradient(P, G, batch, self.states, key if s.dropout else None)
        self.step += 1
        scale = clip_scale(length, s.clip)
        self.team.workers.over(P.flat.size, lambda part: self.optimizer.step(P.flat, G.flat, scale, lr, self.step, part))
        if self.step % FORGET == 0:
            self.train.forget()
        return loss, length

    def measure(self, batch: Batch, key: tuple[int, int]) -> None:
        """Have the optimizer take in the gradient of this batch, had its targets been drawn from the model's own predictions."""
        P, G = self.lm.P, self.G
        drawn = self.team.draw(P, batch, self.states, key)
        self.team.gradient(P, G, drawn, self.states, key)
        n = int(np.count_nonzero(drawn.y >= 0))
        self.team.workers.over(G.flat.size, lambda part: self.optimizer.measure(G.flat, n, part))

    def warm_up(self) -> float:
        """A step that changes nothing, by which every kernel is compiled or read from the cache.  -> seconds, few the second time"""
        start = time.perf_counter()
        batch, s = self.data.batch(0), self.settings
        states = self.team.start(batch.x.shape[1])
        self.team.gradient(self.lm.P, self.G, batch, states, (s.seed, 0) if s.dropout else None)
        one, optimizer = np.zeros(1, np.float32), type(self.optimizer)(self.optimizer.config, 1)
        optimizer.step(one, one, 1.0, 0.0, 1)
        if optimizer.wants_curvature(1):
            self.team.draw(self.lm.P, batch, states, (s.seed, 0))
            optimizer.measure(one, 1)
        return time.perf_counter() - start

    def evaluate(self) -> Evaluated:
        """Score the held-out text and write a few words."""
        start, train_loss = time.perf_counter(), float(np.mean(self.losses[self.since :]))
        with quiet():
            score = evaluate.score_text(self.lm, self.held_out)
        self.valid_loss = score.nats / score.tokens
        best = self.valid_loss < self.best
        self.best = min(self.best, self.valid_loss)
        self.waited = 0 if best else self.waited + 1
        self.schedule.evaluated(self.step, best)
        self.since = self.step
        if best:
            self.bits = score.nats / math.log(2) / score.characters
        sample = sample_of(self.lm)
        self.evaluating = time.perf_counter() - start
        self.seconds += self.evaluating
        return Evaluated(self.step, train_loss, self.valid_loss, best, sample, self.waited)

    def save(self, name: str) -> None:
        self.lm.about = {
            "step": self.step,
            "steps": self.steps,
            "valid_loss": self.valid_loss,
            "best": finite(self.best),
            "bits_per_character": self.bits,
            "parameters": self.lm.P.flat.size,
            "tokens_per_second": median(self.speeds) if self.speeds else None,
            "seconds": self.seconds,
        }
        more: dict[str, np.ndarray] = {}
        if name == "last.npz":
            more, self.lm.about["progress"] = progress_of(self)
            self.saved = time.perf_counter()
        self.lm.save(self.folder / name, more)

    def started(self) -> Started:
        tokenizer = self.lm.tokenizer
        return Started(
            run=self.folder,
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            vocabulary=len(tokenizer),
            train_tokens=self.data.tokens,
            valid_tokens=len(self.held_out),
            unknown_rate=unknown_rate(tokenizer),
            steps=self.steps,
            tokens_per_step=round(self.data.tokens / self.data.steps_per_epoch),
            threads=self.team.threads,
            lr=self.lr,
            prompt=prompt_of(self.texts, self.settings),
            memory=self.memory,
            memory_free=memory.free(),
            resumed=self.step if self.resumes else None,
        )

    def finished(self, compile_seconds: float) -> Finished:
        valid = finite(self.best)
        return Finished(
            run=str(self.folder),
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            steps=self.step,
            train_loss=float(np.mean(self.losses[-LAST:])) if self.losses else math.nan,
            valid_loss=valid,
            perplexity=None if valid is None else evaluate.perplexity(valid),
            floor_perplexity=floor_perplexity(self.texts, len(self.held_out)),
            tokens_per_second=median(self.speeds) if self.speeds else 0.0,
            seconds=self.seconds,
            compile_seconds=compile_seconds,
            peak_memory_bytes=memory.peak(),
            interrupted=not self.over,
            diverged=self.troubles > TRIES,
        )
