"""A run of a count-based model: one pass over the text, with the same files and the same records as a run of gradient descent."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlmcli.engine.gradient.threads import MAX_THREADS
from nlmcli.engine.reading.dataset import read_dataset
from nlmcli.engine.run.config import write_config
from nlmcli.engine.run.language_model import LanguageModel, build
from nlmcli.engine.run.ownership import claimed, release
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training import memory
from nlmcli.engine.training.count_on_disk import Counter, work_folder
from nlmcli.engine.training.length import every
from nlmcli.engine.training.metrics import Metrics, open_at
from nlmcli.engine.training.progress import finite_or_none
from nlmcli.engine.training.records import Compiled, Evaluated, Finished, Record, Started, Stepped
from nlmcli.engine.training.runs import check_unused, run_name, sample_text, suggested_prompt
from nlmcli.engine.writing.generate import next_words
from nlmcli.models.ngram import bytes_of
from nlmcli.options import check_at_least


class Counting:
    """A run of a single step. It uses one thread, whatever `threads` is."""

    def __init__(self, settings: Settings, folder: Path | None = None, threads: int | None = None):
        settings.check()
        check_at_least("threads", threads, 1, MAX_THREADS)
        self.settings = settings
        with claimed(folder, run_name(settings)) as self.folder:
            check_unused(self.folder)
            self.dataset = read_dataset(settings)
        self.model: Any = build(settings, self.dataset.tokenizer)
        self.tokens = int(self.dataset.tokenizer.counts.sum())
        self.stop = False  # set to True to end the run after counting
        self.train_loss = self.valid_loss = math.nan

    def run(self) -> Iterator[Record]:
        """Count, save, and score the held-out text, or the training text if none is held out; yield records."""
        write_config(self.folder, self.settings)
        yield self.started_record()
        try:
            yield from self.count_and_score()
        finally:
            release(self.folder)

    def count_and_score(self) -> Iterator[Record]:
        start_time = time.perf_counter()
        counted = self.count()
        self.lm.save(self.folder / "last.npz")
        yield counted
        compile_seconds = self.warm_up()
        yield Compiled(compile_seconds)
        interrupted = self.stop
        if not interrupted:
            yield from self.score()
        with open_at(self.folder / "metrics.csv", -1) as file:
            metrics = Metrics(file, every(1))
            metrics.last_step = counted
            metrics.write_row(*(None if math.isnan(loss) else loss for loss in (self.train_loss, self.valid_loss)))
        yield self.finished_record(counted, time.perf_counter() - start_time - compile_seconds, compile_seconds, interrupted)

    def count(self) -> Stepped:
        start = time.perf_counter()
        train = self.dataset.train
        train.check(0, len(train))
        about = {"step": 1, "steps": 1, "texts": self.dataset.digests()}
        texts = train.lines() if self.settings.by == "line" else [train.ids]
        if within := bytes_of(self.settings.get("memory")):
            with work_folder(self.folder) as files:
                counter = Counter(files, self.model, within)
                counter.count(texts)
                P = self.model.counts_in_files(*(files.map(name) for name in ("word", "count", "first")), counter.sizes)
                self.lm = LanguageModel(self.model, P, self.dataset.tokenizer, self.settings, about)
                self.lm.save(self.folder / "last.npz")
            self.lm = LanguageModel.read(self.folder / "last.npz")
        else:
            self.lm = LanguageModel(self.model, self.model.count(list(texts)), self.dataset.tokenizer, self.settings, about)
        seconds = time.perf_counter() - start
        self.lm.about |= {"parameters": self.lm.P.flat.size, "tokens_per_second": self.tokens / seconds, "seconds": seconds}
        return Stepped(1, 1.0, math.nan, 0.0, 0.0, self.tokens / seconds, seconds, 0.0)

    def warm_up(self) -> float:
        """Compile the kernels, or load them from the cache, by scoring one token and predicting one.  -> seconds"""
        start = time.perf_counter()
        evaluate.score_text(self.lm, self.lm.tokenizer.piece(0) + "\n")
        next_words(self.lm, "", 1)
        return time.perf_counter() - start

    def score(self) -> Iterator[Evaluated]:
        score = evaluate.score_text(self.lm, self.dataset.held_out or self.dataset.train)
        if not self.dataset.held_out:
            self.train_loss = score.nats / score.tokens
            return
        self.valid_loss = score.nats / score.tokens
        bits = score.nats / math.log(2) / score.characters
        valid_loss = finite_or_none(self.valid_loss)
        self.lm.about |= {"valid_loss": valid_loss, "best": valid_loss, "bits_per_character": finite_or_none(bits)}
        for name in ("best.npz", "last.npz"):
            self.lm.save(self.folder / name)
        yield Evaluated(1, math.nan, self.valid_loss, True, sample_text(self.lm))

    def started_record(self) -> Started:
        return Started(
            run=self.folder,
            model=self.settings.model,
            parameters=0,
            vocabulary=len(self.dataset.tokenizer),
            train_tokens=self.tokens,
            valid_tokens=len(self.dataset.held_out),
            unknown_rate=self.dataset.tokenizer.unknown_rate(),
            steps=1,
            tokens_per_step=self.tokens,
            threads=1,
            lr=0.0,
            prompt=suggested_prompt(self.dataset.texts, self.settings),
        )

    def finished_record(self, counted: Stepped, seconds: float, compile_seconds: float, interrupted: bool) -> Finished:
        valid_loss = None if math.isnan(self.valid_loss) else self.valid_loss
        return Finished(
            run=str(self.folder),
            model=self.settings.model,
            parameters=self.lm.P.flat.size,
            steps=1,
            train_loss=self.train_loss,
            valid_loss=valid_loss,
            perplexity=None if valid_loss is None else evaluate.perplexity(valid_loss),
            floor_perplexity=evaluate.floor_perplexity(self.dataset.floor(), self.dataset.tokenizer, self.dataset.held_out),
            tokens_per_second=counted.tokens_per_second,
            seconds=seconds,
            compile_seconds=compile_seconds,
            peak_memory_bytes=memory.peak(),
            interrupted=interrupted,
        )
