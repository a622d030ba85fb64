"""What `nlm train` says while it runs: lines that stay, and on a terminal a panel below them that goes with the run."""

import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nlmcli.cli import options, report
from nlmcli.cli.dashboard import INTERRUPTED, SAMPLE, Dashboard
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring.evaluate import perplexity
from nlmcli.engine.training.records import Compiled, Evaluated, Finished, RolledBack, Started
from nlmcli.models import MODELS
from nlmcli.optim import OPTIMIZERS

REFRESH = 4  # times a second
PIPE = 80  # cells of a line where no terminal says how many it has


class Progress:
    """Shows the records of a training run on stderr."""

    def __init__(self, settings: Settings, quiet: bool):
        self.settings, self.quiet = settings, quiet
        self.counting = not MODELS.get(settings.model).neural
        self.explained = False  # what the star at a loss means
        self.console = Console(stderr=True)
        self.dashboard = Dashboard(self.console, self.counting)
        self.live: Live | None = None
        if self.console.is_interactive and sys.stderr.isatty() and self.console.encoding.startswith("utf") and not quiet:
            self.live = Live(console=self.console, get_renderable=self.dashboard.current, refresh_per_second=REFRESH, transient=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.live and self.live.is_started:
            self.live.stop()

    def interrupt(self) -> None:
        """Say that the run is about to end: in the panel, which takes no lock that this signal may have come upon."""
        self.dashboard.interrupted = True
        if not (self.live and self.live.is_started):
            report.message(f"\n{INTERRUPTED}")

    def show(self, record: Any) -> None:
        """Take in a record and show what is worth showing."""
        self.dashboard.take(record)
        if isinstance(record, Started):
            self.run = record
            if not self.quiet:
                self.started(record)
            options.announce_compiling(self.quiet)
        elif isinstance(record, Finished):
            self.stop()
            if record.diverged:
                report.message(f"given up: training gets no better than guessing; {self.advice()}")
        elif isinstance(record, Compiled) and not self.quiet:
            if record.seconds > 1:
                self.say(f"kernels ready after {record.seconds:.1f} s")
            if record.step_seconds and self.run.steps:
                left = report.duration(record.step_seconds * (self.run.steps - (self.run.resumed or 0)))
                self.say(f"about {left} without evaluations, at {self.run.tokens_per_step / record.step_seconds:,.0f} tokens/s")
            if self.live:
                self.live.start()
        elif isinstance(record, Evaluated) and not self.quiet:
            self.evaluated(record)
        elif isinstance(record, RolledBack):
            self.rolled_back(record)

    def started(self, r: Started) -> None:
        s = self.settings
        parameters = "" if self.counting else f"{report.number_of(r.parameters, 'parameter')}, "
        self.say(f"{r.model}, {parameters}{report.number_of(r.vocabulary, 'type')} ({s.tokenizer}); {r.unknown_rate:.1%} unknown")
        if r.unknown_rate >= 0.5:
            self.say("much of this text is unknown to the model; try --min-count 1 or --tokenizer char")
        held_out = f"{r.valid_tokens:,} held out" if r.valid_tokens else "nothing held out"
        self.say(f"{report.number_of(r.train_tokens, 'token')} to train on, {held_out}, by {s.by}")
        if s.valid and Path(s.valid).resolve() in [Path(path).resolve() for path in s.corpus]:
            self.say(f"--valid {report.printable(s.valid)} is trained on too: its loss does not tell what a new text would have")
        if not r.valid_tokens and s.valid_fraction:
            self.say("too few lines to hold some out; raise --valid-fraction, or give --valid FILE")
        if not self.counting:
            self.say(f"{self.length(r)}, {report.number_of(r.threads, 'thread')}")
            free = f" of {r.memory_free / 1e6:,.0f} free" if r.memory_free else ""
            memory = f"; memory: {r.memory / 1e6:,.1f} MB{free}" if r.memory else ""
            self.say(f"{s.optimizer}, learning rate {r.lr:g}, {s.schedule}{memory}")
        report.message(report.printable(f"run: {r.run}"))
        if r.resumed is not None:
            self.say(f"going on after step {r.resumed:,}")

    def length(self, r: Started) -> str:
        """How long the run is, in what is known of it before."""
        tokens = report.number_of(r.tokens_per_step, "token")
        if r.steps is None:
            return f"steps of {tokens} for {report.duration(60 * (self.settings.minutes or 0))}"
        return f"{report.number_of(r.steps, 'step')} of {tokens} ({r.steps * r.tokens_per_step / r.train_tokens:.1f} epochs)"

    def evaluated(self, r: Evaluated) -> None:
        if not self.counting:
            self.losses_of(r)
        words = " ".join(report.printable(r.sample).split())
        width = self.console.width if self.live else PIPE
        if words:
            self.say(SAMPLE + report.cut(words, width - len(SAMPLE)))

    def losses_of(self, r: Evaluated) -> None:
        if not self.explained:
            self.say("* best so far")
        self.explained = True
        step = self.dashboard.step
        assert step is not None
        speed = "" if self.live else f"  {self.dashboard.speed:,.0f} tokens/s"  # the panel has it
        self.say(
            f"step {r.step:>6,}  train {r.train_loss:.4f}  valid {r.valid_loss:.4f}{'*' if r.best else ' '}  "
            f"perplexity {perplexity(r.valid_loss):,.2f}  {report.duration(step.seconds_left)} left{speed}"
        )
        if r.waited == self.settings.patience:
            self.say(f"{report.number_of(r.waited, 'evaluation')} in a row no better than the best: the run ends")

    def rolled_back(self, r: RolledBack) -> None:
        why = f"loss is {r.loss:.4g}, worse than guessing," if math.isfinite(r.loss) else "loss or gradient is no number"
        self.say(f"{why} after step {r.step:,}; back to step {r.back_to:,} with half the learning rate, {r.lr:g}")

    def advice(self) -> str:
        """What to try with a run that was given up."""
        s = self.settings
        rate = min(self.run.lr / 100, OPTIMIZERS.get(s.optimizer).lr)
        return f"try --lr {rate:g}, or --clip {s.clip / 10 or 1:g}"

    def say(self, line: str) -> None:
        if self.live:
            self.live.refresh()  # a terminal that has become another size is noticed by this
            self.console.print(Text(line), no_wrap=True, overflow="ellipsis", crop=True)
        else:
            report.message(line)

    def summary(self, r: Finished) -> None:
        """After the run, on stdout."""
        if r.valid_loss is not None:
            floor = f" (floor {r.floor_perplexity:.2f})" if r.floor_perplexity else ""
            which = "validation loss" if self.counting else "best validation loss"
            report.data(f"{which} {r.valid_loss:.4f} nats per token, perplexity {r.perplexity:,.2f}{floor}")
        elif math.isfinite(r.train_loss):
            why = f"not validated{' yet' * r.interrupted}" if self.run.valid_tokens else "nothing was held out to validate on"
            report.data(f"training loss {r.train_loss:.4f} nats per token; {why}")
        memory = f", peak memory {r.peak_memory_bytes / 1e6:,.0f} MB" if r.peak_memory_bytes else ""
        done, seconds = report.number_of(r.steps, "step"), r.seconds
        if self.counting and self.dashboard.step:
            done, seconds = f"{report.number_of(r.parameters, 'n-gram')} counted", self.dashboard.step.seconds
        report.data(f"{done} in {report.duration(seconds)}, {r.tokens_per_second:,.0f} tokens/s{memory}")
        report.data(f"saved in {report.printable(r.run)}{' (interrupted)' if r.interrupted else ''}")
        if r.interrupted and not self.counting:
            report.data(f"go on: nlm train --resume --out {report.shell_word(r.run)}")
        report.data(f"next: nlm generate --run {report.shell_word(r.run)} --prompt {report.printable(report.quoted(self.run.prompt))}")
