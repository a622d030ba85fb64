"""The training loop of neural models. It yields records and prints nothing."""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from nlmcli.engine.gradient.ranks import ranks
from nlmcli.engine.gradient.team import shards_of
from nlmcli.engine.gradient.threads import MAX_THREADS, available_threads, quiet
from nlmcli.engine.reading.dataset import Dataset, read_dataset
from nlmcli.engine.reading.labelled_dataset import LabelledDataset, read_labelled
from nlmcli.engine.run import checkpoint
from nlmcli.engine.run.config import write_config
from nlmcli.engine.run.language_model import LanguageModel, build, with_cutoffs
from nlmcli.engine.run.ownership import claimed, release
from nlmcli.engine.run.saved import Saved
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.run.task_model import TaskModel, build_head
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training import memory
from nlmcli.engine.training.initial import copy_encoder, copy_vectors, starting_run
from nlmcli.engine.training.learner import Learner
from nlmcli.engine.training.length import Steps, every, length_of
from nlmcli.engine.training.metrics import Metrics, open_at
from nlmcli.engine.training.progress import Progress, finite_or_none
from nlmcli.engine.training.rate import default_rate
from nlmcli.engine.training.records import Compiled, Evaluated, Finished, Labelled, Record, RolledBack, Started, Stepped
from nlmcli.engine.training.resume import resumed_settings
from nlmcli.engine.training.runs import check_unused, run_name, suggested_prompt
from nlmcli.engine.training.samples import add_sample, keep_until
from nlmcli.engine.training.validate import validate
from nlmcli.errors import InputError
from nlmcli.heads import HEADS
from nlmcli.models import MODELS
from nlmcli.nn.bf16 import IN_HARDWARE
from nlmcli.optim import OPTIMIZERS
from nlmcli.options import check_at_least

METRICS_ROWS = 200  # rows of steps in metrics.csv
EVALUATIONS = 10  # evaluations per run, unless --eval-every is given
STEPPING = 0.8  # share of a time limit that is spent in steps, about
REPORTED_STEPS = 20  # the reported training loss is the mean over this many last steps
SAVE_SECONDS = 30  # longest time between two checkpoints
MAX_ROLLBACKS = 3  # more of them, and the run has diverged
RECENT_STEPS, MAX_LOSS_RATIO = 10, 2.0  # roll back if the mean loss of recent steps exceeds this multiple of that of guessing
TRIED_FROM_STEPS = 200  # steps of a run for which it is worthwhile to try bf16
FORGET = 256  # steps between two releases of the memory of a mapped text


OTHER_TEXT = "the corpus or the tokenizer file is not the one this run started with; --resume needs the same, at any location"


class Training:
    """A run: its folder, dataset, learner and progress. Set `stop` to True to end it after the current step."""

    def __init__(self, settings: Settings, folder: Path | None = None, threads: int | None = None, is_resumed: bool = False):
        """folder: of the run; None: a new one under ./runs.  Raises InputError for invalid settings, or an unusable text or folder."""
        settings.check()
        check_at_least("threads", threads, 1, MAX_THREADS)
        self.stop, self.is_resumed, self.ranks = False, is_resumed, ranks()
        self.is_writing = self.ranks.rank == 0
        with claimed(folder, run_name(settings)) if self.is_writing else nullcontext() as own:
            if own and not is_resumed:
                check_unused(own)
            self.folder = self.ranks.agreed(own)
            source = starting_run(settings, self.folder if is_resumed else None)
            with self.ranks.first_alone():  # the text is encoded once
                self.dataset = read(settings, source)
            settings = with_cutoffs(settings, self.dataset.tokenizer)
            self.batches = self.dataset.batches(settings)
            self.length = length_of(settings, self.batches.steps_per_epoch)
            self.settings = settings
            self.check_validation()
            self.lm: Any = initial_model(settings, self.dataset, source)
            self.vectors = copy_vectors(Path(settings.embeddings), self.lm) if settings.embeddings and not is_resumed else None
            self.learner = Learner(self.lm, threads or max(1, available_threads() // self.ranks.local_size()))
            lr = settings.lr or default_rate(settings, self.expected_steps(), self.batches.steps_per_epoch)
            self.settings = self.lm.settings = replace(settings, lr=lr)
            self.progress = Progress(peak=lr)
            self.speeds: list[float] = []  # tokens per second of every step
            if is_resumed:
                self.restore()

    def expected_steps(self) -> int:
        """The number of steps of the run; for a time limit, what fits into it at the speed of a trial step that changes nothing."""
        if isinstance(self.length, Steps):
            return self.length.steps
        self.learner.warm_up(self.batches.batch(0))  # compiles
        seconds = self.ranks.agreed(self.learner.warm_up(self.batches.batch(0)))
        return max(1, round(STEPPING * self.length.seconds / seconds))

    def clock(self) -> float:
        """Seconds, from any time on; those of rank 0 if decisions depend on them."""
        now = time.perf_counter()
        return now if isinstance(self.length, Steps) else self.ranks.agreed(now)

    def agree(self) -> bool:
        """Let rank 0 decide for all ranks whether the next checkpoint is due, and whether to stop.  -> the latter"""
        due = self.is_writing and time.perf_counter() > self.save_time + SAVE_SECONDS
        stop, self.is_save_due = self.ranks.agreed((self.stop, due))
        return stop

    @property
    def has_validation(self) -> bool:
        return self.dataset.has_held_out and self.settings.eval_every != 0

    def check_validation(self) -> None:
        """Raises InputError if an option depends on validation and there is none."""
        option = "--schedule plateau" if self.settings.schedule == "plateau" else self.settings.patience and "--patience"
        if option and not self.has_validation:
            raise InputError(f"{option} needs validation, and there is none; give --valid FILE, or raise --valid-fraction or --eval-every")

    @classmethod
    def resumed(cls, folder: Path, given: dict[str, Any], threads: int | None = None) -> "Training":
        """The run in a folder, restored from its last checkpoint.  given: options; only its length and a few others may differ.

        Raises InputError if the run cannot be resumed.
        """
        run = cls(resumed_settings(folder, given), folder, threads, is_resumed=True)
        if run.length.is_complete(run.progress.step, run.progress.seconds):
            raise InputError(f"{folder} finished after {run.progress.step:,} steps; give more --steps, --epochs or --minutes to continue")
        return run

    def run(self) -> Iterator[Record]:
        """Train to the end, or to the end of the step in which `stop` was set, and save; yield records."""
        if self.is_writing:
            write_config(self.folder, self.settings)
        yield self.started_record()
        compile_seconds = self.learner.warm_up(self.batches.batch(0))
        step_seconds = self.learner.warm_up(self.batches.batch(0))
        yield Compiled(compile_seconds, step_seconds, self.gain_of_bf16())
        self.start_time = self.clock() - self.progress.seconds
        self.open_metrics(self.progress.step if self.is_resumed else -1)
        try:
            self.save("last.npz")
            for record in self.loop():
                self.metrics.write(record)
                if self.is_writing and isinstance(record, Evaluated) and record.sample:
                    add_sample(self.folder, record.step, record.sample)
                self.save_if_due(record)
                yield record
            self.save("last.npz")
        finally:
            self.metrics.file.close()
            if self.is_writing:
                release(self.folder)
        yield self.finished_record(compile_seconds)

    def gain_of_bf16(self) -> float | None:
        """How many times as fast a step would be in bf16; None if the CPU lacks it, or the run has it, cannot change or is too short."""
        is_short = self.length.steps is not None and self.length.steps < TRIED_FROM_STEPS
        if not IN_HARDWARE or self.settings.precision == "bf16" or self.is_resumed or is_short:
            return None
        return self.learner.gain_of_bf16(self.batches.batch(0))

    def loop(self) -> Iterator[Record]:
        """Train until the run is finished or stopped; yield steps, evaluations and rollbacks."""
        eval_every, elapsed = self.settings.eval_every, self.progress.stepping
        is_due = self.length.evenly_spaced(EVALUATIONS, elapsed) if eval_every is None else every(eval_every)
        while not (self.agree() or self.is_finished()):
            step = self.take_step()
            if self.is_diverging(step):
                yield self.roll_back(step.loss if math.isfinite(step.gradient_norm) else math.nan)
                continue
            yield step
            if self.has_validation and (is_due(step.step, self.progress.stepping) or self.is_finished()):
                evaluation = self.evaluate()
                exploded = self.is_too_high(evaluation.valid_loss) and self.is_too_high(evaluation.train_loss)  # else it may be overfitting
                diverging = exploded or not math.isfinite(evaluation.valid_loss)
                yield self.roll_back(evaluation.valid_loss) if diverging else evaluation

    def is_finished(self) -> bool:
        """Whether the run has reached its length, less the time of a final evaluation, or has run out of patience, or has diverged."""
        seconds = self.clock() - self.start_time + self.progress.evaluating
        out_of_patience = self.progress.waited == self.settings.patience
        return self.length.is_complete(self.progress.step, seconds) or out_of_patience or self.has_diverged()

    def has_diverged(self) -> bool:
        return self.progress.troubles > MAX_ROLLBACKS

    def take_step(self) -> Stepped:
        """Take one training step: batch, forward, backward, clip, update."""
        start, p = self.clock(), self.progress
        batch = self.batches.batch(p.step)
        lr = self.learner.schedule.rate(p.peak, p.step, self.length.progress(p.step, start - self.start_time))
        loss, norm = self.learner.update(batch, p.step, lr)
        now = self.clock()
        p.record_step(loss, seconds := now - start)
        if p.step % FORGET == 0:
            self.dataset.forget()
        self.speeds.append(batch.tokens / seconds)
        p.seconds = now - self.start_time
        epoch, seconds_left = p.step / self.batches.steps_per_epoch, self.length.seconds_left(p.step, p.seconds)
        return Stepped(p.step, epoch, loss, lr, norm, self.speeds[-1], p.seconds, seconds_left)

    def evaluate(self) -> Evaluated:
        """Score the held-out text, and of a language model sample a short text."""
        start, p = self.clock(), self.progress
        train_loss = float(np.mean(p.losses[p.since :]))
        with quiet(), self.learner.averaged():
            v = validate(self.lm, self.dataset.held_out, self.learner.team.workers, self.ranks)
        is_best = p.record_evaluation(v.loss, v.bits, v.figure)
        p.peak = self.learner.schedule.peak_after(p.peak, p.step, is_best)
        p.evaluating = self.clock() - start
        p.seconds += p.evaluating
        return Evaluated(p.step, train_loss, v.loss, is_best, v.sample, p.waited, v.figure)

    def is_diverging(self, step: Stepped) -> bool:
        """Whether loss or gradient norm is not finite, or the mean of the recent losses is far above that of guessing."""
        recent = self.progress.losses[-RECENT_STEPS:]
        exploded = len(recent) == RECENT_STEPS and self.is_too_high(sum(recent) / RECENT_STEPS)
        return exploded or not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm))

    def is_too_high(self, loss: float) -> bool:
        return loss > MAX_LOSS_RATIO * self.lm.guessing()

    def roll_back(self, loss: float) -> RolledBack:
        """Restore the last checkpoint, with half the learning rate."""
        abandoned = self.progress
        self.metrics.file.close()
        self.restore()
        self.progress.troubles, self.progress.peak = abandoned.troubles + 1, abandoned.peak / 2
        self.open_metrics(self.progress.step)
        return RolledBack(abandoned.step, loss, self.progress.step, self.progress.peak)

    def restore(self) -> None:
        """Restore the last checkpoint.  Raises InputError if its tokenizer is not that of this run's text."""
        arrays, about = self.ranks.agreed(checkpoint.load(self.folder / "last.npz") if self.is_writing else None)
        if about["tokenizer"] != self.lm.tokenizer.to_dict() or about.get("texts") not in (None, self.dataset.digests()):
            raise InputError(OTHER_TEXT)
        self.learner.load_state_dict(arrays)
        self.progress = Progress.from_dict(arrays, about["progress"])

    def open_metrics(self, step: int) -> None:
        """Open metrics.csv for appending after the rows of this step; later rows are removed."""
        losses = self.progress.losses
        if self.is_writing:
            keep_until(self.folder, step)
        file = open_at(self.folder / "metrics.csv", step) if self.is_writing else StringIO()
        self.metrics = Metrics(file, self.length.evenly_spaced(METRICS_ROWS), losses[len(losses) - self.progress.pending :])

    def save_if_due(self, record: Record) -> None:
        """Save after an evaluation or rollback, and every SAVE_SECONDS. metrics.csv already has the record, so no checkpoint is ahead."""
        if isinstance(record, Evaluated) and record.best:
            self.save("best.npz")
        if isinstance(record, Evaluated | RolledBack) or self.is_save_due:
            self.save("last.npz")

    def save(self, name: str) -> None:
        """Write a checkpoint; last.npz also holds the training state, from which the run can be resumed."""
        p, arrays = self.progress, dict[str, np.ndarray]()
        p.pending = len(self.metrics.losses)
        self.lm.about = {
            "step": p.step,
            "steps": self.length.steps,
            "valid_loss": p.valid_loss,
            "best": finite_or_none(p.best),
            "bits_per_character": p.bits,
            "parameters": self.lm.P.flat.size,
            "tokens_per_second": self.speed(),
            "seconds": p.seconds,
            "texts": self.dataset.digests(),
            "figure": p.figure_name and [p.figure_name, p.best_figure],
        }
        if name == "last.npz":
            arrays, self.lm.about["progress"] = p.to_dict()
            arrays |= self.learner.state_dict()
            self.save_time, self.is_save_due = time.perf_counter(), False
            if self.is_writing:
                self.lm.save(self.folder / name, arrays)
        elif self.is_writing:
            with self.learner.averaged():
                self.lm.save(self.folder / name)

    def speed(self) -> float | None:
        """Tokens per second: the median over the steps since the start or resumption; None before the first."""
        return median(self.speeds) if self.speeds else None

    def started_record(self) -> Started:
        dataset, batches = self.dataset, self.batches
        return Started(
            run=self.folder,
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            vocabulary=len(dataset.tokenizer),
            train_tokens=batches.tokens,
            valid_tokens=dataset.held_out_tokens(),
            unknown_rate=dataset.tokenizer.unknown_rate(),
            steps=self.length.steps,
            tokens_per_step=round(batches.tokens / batches.steps_per_epoch),
            threads=self.learner.team.threads,
            lr=self.settings.lr or 0.0,
            prompt=suggested_prompt(dataset.texts, self.settings) if isinstance(dataset, Dataset) else "",
            memory=required_memory(self.settings, self.lm.P.flat.size),
            memory_free=memory.free(),
            clusters=clusters_of(self.lm),
            vectors=self.vectors,
            emulated=self.settings.precision == "bf16" and not IN_HARDWARE,
            resumed=self.progress.step if self.is_resumed else None,
            labelled=labelled_record(self.settings, dataset) if isinstance(dataset, LabelledDataset) else None,
        )

    def finished_record(self, compile_seconds: float) -> Finished:
        p, valid_loss = self.progress, finite_or_none(self.progress.best)
        return Finished(
            run=str(self.folder),
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            steps=p.step,
            train_loss=float(np.mean(p.losses[-REPORTED_STEPS:])) if p.losses else math.nan,
            valid_loss=valid_loss,
            perplexity=None if valid_loss is None or not isinstance(self.dataset, Dataset) else evaluate.perplexity(valid_loss),
            figure=None if p.figure_name is None or p.best_figure is None else (p.figure_name, p.best_figure),
            floor_perplexity=floor_perplexity(self.dataset),
            tokens_per_second=self.speed() or 0.0,
            seconds=p.seconds,
            compile_seconds=compile_seconds,
            peak_memory_bytes=memory.peak(),
            interrupted=not self.is_finished(),
            diverged=self.has_diverged(),
        )


def clusters_of(lm: Saved) -> tuple[tuple[int, float], ...]:
    """The number of words in each part of an adaptive softmax and their share of the training text; empty if it is not adaptive."""
    if not lm.model.cutoffs:
        return ()
    counts, parts = lm.tokenizer.counts, pairwise((0, *lm.model.ends()))
    return tuple((end - start, float(counts[start:end].sum() / max(1, counts.sum()))) for start, end in parts)


def required_memory(s: Settings, parameters: int) -> int:
    """The bytes of parameters, gradients and optimizer state.  Raises InputError if fewer are available."""
    vectors = len(OPTIMIZERS.get(s.optimizer).state_names) + (s.average is not None)
    return memory.check(parameters, vectors, len(shards_of(s.batch_size, MODELS.get(s.model).shard_columns)))


def read(s: Settings, source: Saved | None) -> Dataset | LabelledDataset:
    """The texts of the run, with the tokenizer of the run that it starts from."""
    tokenizer = source.tokenizer if source else None
    return read_labelled(s, tokenizer) if HEADS.get(s.task).labelled else read_dataset(s, tokenizer)


def initial_model(s: Settings, dataset: Dataset | LabelledDataset, source: Saved | None) -> Saved:
    """The model with initialized parameters; those of the encoder from the run that it starts from.

    Raises InputError if there is too little memory to train it.
    """
    tokenizer = dataset.tokenizer
    model: Any = build(s, tokenizer) if isinstance(dataset, Dataset) else build_head(s, tokenizer, dataset.labels)
    required_memory(s, sum(map(math.prod, model.shapes().values())))
    P = model.initialize(np.random.default_rng(s.seed))
    if source:
        copy_encoder(source, P)
    if isinstance(dataset, Dataset):
        return LanguageModel(model, P, tokenizer, s, {})
    model.encoder.forms = dataset.lexicon.forms()
    return TaskModel(model, P, tokenizer, s, {}, dataset.labels, dataset.rare)


def labelled_record(s: Settings, dataset: LabelledDataset) -> Labelled:
    """What a run learns from, for the lines before its first step."""
    labels = dataset.labels
    return Labelled(
        s.task,
        tuple(f"{file.name}, {file.description}" for file in dataset.files),
        labels.examples,
        dataset.held_out_examples,
        tuple(zip(labels.names, labels.counts, strict=True)),
        labels.mean,
        labels.deviation,
        dataset.duplicates,
        dataset.train.cut,
        tuple(dataset.held_out.unseen),
    )


def floor_perplexity(dataset: Dataset | LabelledDataset) -> float | None:
    if not isinstance(dataset, Dataset):
        return None
    return evaluate.floor_perplexity(dataset.floor(), dataset.tokenizer, dataset.held_out)
