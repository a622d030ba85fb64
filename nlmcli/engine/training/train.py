"""Training: a loop that yields records of what happens, and prints nothing."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from nlmcli.engine.gradient.team import shards_of
from nlmcli.engine.gradient.threads import MOST_THREADS, available_threads, quiet
from nlmcli.engine.reading.dataset import read_dataset
from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.config import write_config
from nlmcli.engine.run.language_model import LanguageModel, build
from nlmcli.engine.run.ownership import claimed, release
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training import memory
from nlmcli.engine.training.learner import Learner
from nlmcli.engine.training.length import every, length_of
from nlmcli.engine.training.metrics import Metrics, open_at
from nlmcli.engine.training.progress import Progress, finite
from nlmcli.engine.training.rate import default_rate
from nlmcli.engine.training.records import Compiled, Evaluated, Finished, Record, RolledBack, Started, Stepped
from nlmcli.engine.training.resume import settings_of
from nlmcli.engine.training.runs import check_free, name_of, prompt_of, sample_of
from nlmcli.errors import InputError
from nlmcli.optim import OPTIMIZERS
from nlmcli.options import check_at_least
from nlmcli.text.tokenizer import Tokenizer

ROWS = 200  # of steps in metrics.csv
EVALUATIONS = 10  # where --eval-every does not say how often
LAST = 20  # the training loss that is reported is the mean of so many last steps
SAVE_SECONDS = 30  # how much of a run may be lost
TRIES, FEW, EXPLODED = 3, 10, 2.0  # roll-backs; steps whose mean loss may not be so many times that of guessing
FORGET = 256  # steps after which the memory of what was read is given back


OTHER_TEXT = "the corpus, or the tokenizer's file, is not the one this run began with; --resume needs the same, wherever it lies"


class Training:
    """A run: its folder, what it reads, what learns, and what has been counted so far. Set `stop`, and it ends after its step."""

    def __init__(self, settings: Settings, folder: Path | None = None, threads: int | None = None, resumes: bool = False):
        """folder: where the run is kept; None: a new one.  Raises InputError for settings, a text or a folder that cannot be used."""
        settings.check()
        check_at_least("threads", threads, 1, MOST_THREADS)
        self.stop, self.resumes = False, resumes
        with claimed(folder, name_of(settings)) as self.folder:
            if not resumes:
                check_free(self.folder)
            self.dataset = read_dataset(settings)
            self.batches = self.dataset.batches(settings)
            self.length = length_of(settings, self.batches.steps_per_epoch)
            lr = settings.lr or default_rate(settings, self.length.steps, self.batches.steps_per_epoch)
            self.settings = replace(settings, lr=lr)
            self.check_validation()
            self.lm = first_model(self.settings, self.dataset.tokenizer)
            self.learner = Learner(self.lm, threads or available_threads())
            self.progress = Progress(peak=lr)
            self.speeds: list[float] = []  # tokens per second of every step
            if resumes:
                self.restore()

    @property
    def evaluates(self) -> bool:
        return bool(self.dataset.texts.valid) and self.settings.eval_every != 0

    def check_validation(self) -> None:
        """Raises InputError where an option depends on validation and there is none."""
        needs = "--schedule plateau" if self.settings.schedule == "plateau" else self.settings.patience and "--patience"
        if needs and not self.evaluates:
            raise InputError(f"{needs} goes by validation, and there is none; give --valid FILE, or more --valid-fraction or --eval-every")

    @classmethod
    def resumed(cls, folder: Path, given: dict[str, Any], threads: int | None = None) -> "Training":
        """The run in a folder, to go on where it was saved; given: options, of which only the length may be another.

        Raises InputError where there is nothing to go on with.
        """
        run = cls(settings_of(folder, given), folder, threads, resumes=True)
        if run.length.over(run.progress.step, run.progress.seconds):
            done = f"{folder} came to its end after {run.progress.step:,} steps"
            raise InputError(f"{done}; give more --steps, --epochs or --minutes to go on")
        return run

    def run(self) -> Iterator[Record]:
        """Train to the end, or to the end of the step in which `stop` was set; save; tell how it went."""
        write_config(self.folder, self.settings)
        yield self.started()
        compile_seconds = self.learner.warm_up(self.batches.batch(0))
        yield Compiled(compile_seconds, self.learner.warm_up(self.batches.batch(0)))
        self.begun = time.perf_counter() - self.progress.seconds
        self.open_metrics(self.progress.step if self.resumes else -1)
        try:
            self.save("last.npz")
            for record in self.loop():
                self.metrics.write(record)
                self.keep(record)
                yield record
            self.save("last.npz")
        finally:
            self.metrics.file.close()
            release(self.folder)
        yield self.finished(compile_seconds)

    def loop(self) -> Iterator[Record]:
        given, progress = self.settings.eval_every, self.progress
        due = self.length.times(EVALUATIONS, progress.stepping) if given is None else every(given)
        while not (self.stop or self.ended()):
            step = self.take_step()
            if self.in_trouble(step):
                yield self.roll_back(step.loss if math.isfinite(step.gradient_norm) else math.nan)
                continue
            yield step
            if self.evaluates and (due(step.step, self.progress.stepping) or self.ended()):
                score = self.evaluate()
                exploded = self.exploded(score.valid_loss) and self.exploded(score.train_loss)  # else it may have overfitted
                yield self.roll_back(score.valid_loss) if exploded or not math.isfinite(score.valid_loss) else score

    def ended(self) -> bool:
        """Whether the run has its length, or leaves no more time than a last evaluation takes, or its patience has ended."""
        seconds = time.perf_counter() - self.begun + self.progress.evaluating
        return self.length.over(self.progress.step, seconds) or self.progress.waited == self.settings.patience or self.given_up()

    def given_up(self) -> bool:
        return self.progress.troubles > TRIES

    def take_step(self) -> Stepped:
        """One step: batch, forward, backward, clip, update."""
        start, p = time.perf_counter(), self.progress
        batch = self.batches.batch(p.step)
        lr = self.learner.schedule.rate(p.peak, p.step, self.length.progress(p.step, start - self.begun))
        loss, norm = self.learner.update(batch, p.step, lr)
        seconds = time.perf_counter() - start
        p.stepped(loss, seconds)
        if p.step % FORGET == 0:
            self.dataset.train.forget()
        self.speeds.append(np.count_nonzero(batch.y >= 0) / seconds)
        p.seconds = time.perf_counter() - self.begun
        epoch, left = p.step / self.batches.steps_per_epoch, self.length.left(p.step, p.seconds)
        return Stepped(p.step, epoch, loss, lr, norm, self.speeds[-1], p.seconds, left)

    def evaluate(self) -> Evaluated:
        """Score the held-out text and write a few words."""
        start, p = time.perf_counter(), self.progress
        train_loss = float(np.mean(p.losses[p.since :]))
        with quiet():
            score = evaluate.score_text(self.lm, self.dataset.held_out)
        loss = score.nats / score.tokens
        better = p.evaluated(loss, score.nats / math.log(2) / score.characters)
        p.peak = self.learner.schedule.peak_after(p.peak, p.step, better)
        sample = sample_of(self.lm)
        p.evaluating = time.perf_counter() - start
        p.seconds += p.evaluating
        return Evaluated(p.step, train_loss, loss, better, sample, p.waited)

    def in_trouble(self, step: Stepped) -> bool:
        """Whether loss or gradient is no number, or the last few losses are far above that of guessing."""
        few = self.progress.losses[-FEW:]
        exploded = len(few) == FEW and self.exploded(sum(few) / FEW)
        return exploded or not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm))

    def exploded(self, loss: float) -> bool:
        return loss > EXPLODED * math.log(max(2, self.lm.model.V))

    def roll_back(self, loss: float) -> RolledBack:
        """Back to what was saved last, with half the learning rate."""
        left = self.progress
        self.metrics.file.close()
        self.restore()
        self.progress.troubles, self.progress.peak = left.troubles + 1, left.peak / 2
        self.open_metrics(self.progress.step)
        return RolledBack(left.step, loss, self.progress.step, self.progress.peak)

    def restore(self) -> None:
        """Go back to what was saved last.  Raises InputError where that is another run, or of another text."""
        arrays, about = checkpoint.load(self.folder / "last.npz")
        if about["tokenizer"] != self.lm.tokenizer.to_dict():
            raise InputError(OTHER_TEXT)
        if about.get("texts") not in (None, self.dataset.digests()):
            raise InputError(OTHER_TEXT)
        self.learner.restore(arrays)
        self.progress = Progress.from_dict(arrays, about["progress"])

    def open_metrics(self, step: int) -> None:
        """Open metrics.csv after the rows of the steps up to this one."""
        losses = self.progress.losses
        file = open_at(self.folder / "metrics.csv", step)
        self.metrics = Metrics(file, self.length.times(ROWS), losses[len(losses) - self.progress.pending :])

    def keep(self, record: Record) -> None:
        """Save after an evaluation, and now and then. The record is in metrics.csv by then: what is saved is never ahead of it."""
        if isinstance(record, Evaluated) and record.best:
            self.save("best.npz")
        if isinstance(record, Evaluated | RolledBack) or time.perf_counter() > self.saved + SAVE_SECONDS:
            self.save("last.npz")

    def save(self, name: str) -> None:
        """Write a checkpoint; last.npz has all that is needed to go on."""
        p, arrays = self.progress, dict[str, np.ndarray]()
        p.pending = len(self.metrics.losses)
        self.lm.about = {
            "step": p.step,
            "steps": self.length.steps,
            "valid_loss": p.valid_loss,
            "best": finite(p.best),
            "bits_per_character": p.bits,
            "parameters": self.lm.P.flat.size,
            "tokens_per_second": self.speed(),
            "seconds": p.seconds,
            "texts": self.dataset.digests(),
        }
        if name == "last.npz":
            arrays, self.lm.about["progress"] = p.to_dict()
            arrays |= self.learner.arrays()
            self.saved = time.perf_counter()
        self.lm.save(self.folder / name, arrays)

    def speed(self) -> float | None:
        """Tokens per second of a whole step, the median of this process."""
        return median(self.speeds) if self.speeds else None

    def started(self) -> Started:
        dataset, batches = self.dataset, self.batches
        return Started(
            run=self.folder,
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            vocabulary=len(dataset.tokenizer),
            train_tokens=batches.tokens,
            valid_tokens=len(dataset.held_out),
            unknown_rate=dataset.unknown_rate(),
            steps=self.length.steps,
            tokens_per_step=round(batches.tokens / batches.steps_per_epoch),
            threads=self.learner.team.threads,
            lr=self.settings.lr or 0.0,
            prompt=prompt_of(dataset.texts, self.settings),
            memory=memory_of(self.settings, self.lm.P.flat.size),
            memory_free=memory.free(),
            resumed=self.progress.step if self.resumes else None,
        )

    def finished(self, compile_seconds: float) -> Finished:
        p, valid = self.progress, finite(self.progress.best)
        return Finished(
            run=str(self.folder),
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            steps=p.step,
            train_loss=float(np.mean(p.losses[-LAST:])) if p.losses else math.nan,
            valid_loss=valid,
            perplexity=None if valid is None else evaluate.perplexity(valid),
            floor_perplexity=evaluate.floor_perplexity(self.dataset.texts.floor, self.dataset.tokenizer, self.dataset.held_out),
            tokens_per_second=self.speed() or 0.0,
            seconds=p.seconds,
            compile_seconds=compile_seconds,
            peak_memory_bytes=memory.peak(),
            interrupted=not self.ended(),
            diverged=self.given_up(),
        )


def memory_of(s: Settings, parameters: int) -> int:
    """The bytes that parameters, gradients and the optimizer need.  Raises InputError where there are fewer."""
    return memory.check(parameters, len(OPTIMIZERS.get(s.optimizer).remembers), len(shards_of(s.batch_size)))


def first_model(s: Settings, tokenizer: Tokenizer) -> LanguageModel:
    """The language model before the first step.  Raises InputError where there is too little memory to train it."""
    model = build(s, tokenizer)
    memory_of(s, sum(map(math.prod, model.shapes().values())))
    return LanguageModel(model, model.initialise(np.random.default_rng(s.seed)), tokenizer, s, {})
