"""What `nlm train` prints while it runs: lines that stay, and in a terminal a live panel below them, removed at the end."""

import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nlmcli.cli import report
from nlmcli.cli.dashboard import INTERRUPTED, SAMPLE, Dashboard
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring.evaluate import perplexity
from nlmcli.engine.training.records import Compiled, Evaluated, Finished, Labelled, RolledBack, Started
from nlmcli.models import MODELS
from nlmcli.optim import OPTIMIZERS

REFRESH_RATE = 4  # per second
SHOWN_LABELS = 12
SHOWN_UNSEEN = 5
WORTHWHILE = 1.15  # the gain from which on bf16 is recommended
PIPE_WIDTH = 80  # cells of a line that is not printed to a terminal
READING = {"stream": "read as one stream", "line": "read line by line"}


class Display:
    """Prints the records of a training run to stderr."""

    def __init__(self, settings: Settings, quiet: bool):
        self.settings, self.quiet = settings, quiet
        self.counting = not MODELS.get(settings.model).neural
        self.legend_shown = False  # for the star after a loss
        self.console = Console(stderr=True)
        self.dashboard = Dashboard(self.console, self.counting)
        self.live: Live | None = None
        if self.console.is_interactive and sys.stderr.isatty() and self.console.encoding.startswith("utf") and not quiet:
            renderable = self.dashboard.renderable
            self.live = Live(console=self.console, get_renderable=renderable, refresh_per_second=REFRESH_RATE, transient=True)

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.live and self.live.is_started:
            self.live.stop()

    def interrupt(self) -> None:
        """Announce the end of the run; in the panel if it is shown, since printing could deadlock on Rich's lock in a signal handler."""
        self.dashboard.interrupted = True
        if not (self.live and self.live.is_started):
            report.message(f"\n{INTERRUPTED}")

    def show(self, record: Any) -> None:
        """Pass a record to the dashboard, and print the lines that belong to it."""
        self.dashboard.update(record)
        if isinstance(record, Started):
            self.run = record
            if not self.quiet:
                self.show_start(record)
        elif isinstance(record, Finished):
            self.stop()
            if record.diverged:
                report.message(f"training diverged; {self.advice()}")
        elif isinstance(record, Compiled) and not self.quiet:
            if record.seconds > 1:
                self.print(f"kernels ready after {record.seconds:.1f} s")
            if record.step_seconds and self.run.steps:
                left = report.duration(record.step_seconds * (self.run.steps - (self.run.resumed or 0)))
                self.print(f"estimated time {left} plus evaluations, at {self.run.tokens_per_step / record.step_seconds:,.0f} tokens/s")
            if (record.bf16 or 0) >= WORTHWHILE:
                self.print(f"--precision bf16 makes a step {record.bf16:.1f} times as fast on this CPU (measured)")
            if self.live:
                self.live.start()
        elif isinstance(record, Evaluated) and not self.quiet:
            self.show_evaluation(record)
        elif isinstance(record, RolledBack):
            self.show_rollback(record)

    def show_start(self, r: Started) -> None:
        s = self.settings
        parameters = "" if self.counting else f", {report.number_of(r.parameters, 'parameter')}"
        vocabulary = f"{s.tokenizer} vocabulary of {report.number_of(r.vocabulary, 'type')}"
        self.print(f"{r.model}{parameters}; {vocabulary}, {r.unknown_rate:.1%} unknown")
        if r.unknown_rate >= 0.5:
            self.print("half of the tokens or more are unknown; try --min-count 1 or --tokenizer char")
        self.show_labelled(r.labelled) if r.labelled else self.show_text(r)
        if not self.counting:
            if r.vectors is not None:
                self.print(report.printable(f"{r.vectors:,} of {r.vocabulary:,} embeddings come from {s.embeddings}"))
            if r.clusters:
                self.print(clusters_line(r.clusters))
            elif s.get("softmax") == "adaptive":
                self.print("softmax: full, which takes the least time for so small a vocabulary")
            self.print(f"{self.run_length(r)}, {report.number_of(r.threads, 'thread')}")
            free = f" of {r.memory_free / 1e6:,.0f} MB free" if r.memory_free else ""
            memory = f"; memory: {r.memory / 1e6:,.1f} MB{free}" if r.memory else ""
            products = "" if s.precision == "float32" else f", products in {s.precision}"
            self.print(f"{s.optimizer}, learning rate {r.lr:g}, {s.schedule} schedule{products}{memory}")
        if r.emulated:
            self.print("this CPU has no bfloat16 products: they are computed in float32, with the same bits, and are not faster")
        report.message(report.printable(f"run: {r.run}"))
        if r.resumed is not None:
            self.print(f"resuming after step {r.resumed:,}")

    def show_text(self, r: Started) -> None:
        s = self.settings
        held_out = f"{r.valid_tokens:,} held out" if r.valid_tokens else "nothing held out"
        self.print(f"{report.number_of(r.train_tokens, 'training token')}, {held_out}, {READING[s.by]}")
        if s.valid and Path(s.valid).resolve() in [Path(path).resolve() for path in s.corpus]:
            self.print(f"--valid {report.printable(s.valid)} is also trained on: its loss says nothing about new text")
        if not r.valid_tokens and s.valid_fraction:
            self.print("too few lines to hold any out; raise --valid-fraction, or give --valid FILE")

    def show_labelled(self, r: Labelled) -> None:
        """What is learned from: the files, the labels, and the figure that always the same answer would reach."""
        name = "sentence" if r.task == "tag" else "text"
        for file in r.files:
            self.print(report.printable(file))
        held_out = f"{r.held_out:,} held out" if r.held_out else "nothing held out"
        kinds = f" with {report.number_of(len(r.labels), 'label')}" if r.labels else ""
        self.print(f"{r.task}: {report.number_of(r.train, name)}{kinds} to train on, {held_out}")
        if r.labels:
            shown = ", ".join(f"{report.printable(label)} {count:,}" for label, count in r.labels[:SHOWN_LABELS])
            self.print(shown + (f", and {len(r.labels) - SHOWN_LABELS:,} more" if len(r.labels) > SHOWN_LABELS else ""))
            share = r.labels[0][1] / sum(count for _, count in r.labels)
            self.print(f"floor: always {report.printable(r.labels[0][0])} would be right in {share:.1%}")
        else:
            self.print(f"numbers of mean {r.mean:.4g}; floor: always the mean has a squared error of {r.deviation**2:.4g}")
        if r.duplicates:
            self.print(f"{r.duplicates:,} of {r.held_out:,} held-out {name}s stand in the training file too")
        if r.unseen:
            first = ", ".join(map(report.printable, r.unseen[:SHOWN_UNSEEN])) + ", ..." * (len(r.unseen) > SHOWN_UNSEEN)
            are, count = ("is", "counts") if len(r.unseen) == 1 else ("are", "count")
            number = report.number_of(len(r.unseen), "held-out label")
            self.print(f"{number} {are} not in training and {count} as wrong: {first}")
        if r.cut:
            self.print(
                f"{report.number_of(r.cut, 'text')} longer than {self.settings.seq_len - 1} tokens: the rest is not read; raise --seq-len"
            )

    def run_length(self, r: Started) -> str:
        """The length of the run: steps and epochs, or the time that --minutes gives it."""
        tokens = report.number_of(r.tokens_per_step, "token")
        if r.steps is None:
            return f"steps of {tokens} for {report.duration(60 * (self.settings.minutes or 0))}"
        return f"{report.number_of(r.steps, 'step')} of {tokens} ({r.steps * r.tokens_per_step / r.train_tokens:.1f} epochs)"

    def show_evaluation(self, r: Evaluated) -> None:
        if not self.counting:
            self.show_losses(r)
        words = " ".join(report.printable(r.sample).split())
        width = self.console.width if self.live else PIPE_WIDTH
        if words:
            self.print(SAMPLE + report.truncate(words, width - len(SAMPLE)))

    def show_losses(self, r: Evaluated) -> None:
        if not self.legend_shown:
            self.print(f"* best validation {r.figure[0] if r.figure else 'loss'} so far")
        self.legend_shown = True
        step = self.dashboard.step
        assert step is not None
        speed = "" if self.live else f"  {self.dashboard.speed:,.0f} tokens/s"  # the panel shows it
        star = "*" if r.best else " "
        if r.figure:
            valid = f"valid {r.valid_loss:.4f}  {r.figure[0]} {shown_figure(r.figure)}{star}"
        else:
            valid = f"valid {r.valid_loss:.4f}{star}  perplexity {perplexity(r.valid_loss):,.2f}"
        self.print(f"step {r.step:>6,}  train {r.train_loss:.4f}  {valid}  {report.duration(step.seconds_left)} left{speed}")
        if r.waited == self.settings.patience:
            self.print(f"early stopping: no improvement in {report.number_of(r.waited, 'evaluation')}")

    def show_rollback(self, r: RolledBack) -> None:
        problem = f"loss {r.loss:.4g} is worse than guessing" if math.isfinite(r.loss) else "loss or gradient is not finite"
        self.print(f"{problem} after step {r.step:,}; rolled back to step {r.back_to:,} with half the learning rate, {r.lr:g}")

    def advice(self) -> str:
        """Options to try after a run that diverged."""
        s = self.settings
        lr = min(self.run.lr / 100, OPTIMIZERS.get(s.optimizer).lr)
        return f"try --lr {lr:g}, or --clip {s.clip / 10 or 1:g}"

    def print(self, line: str) -> None:
        if self.live:
            self.live.refresh()  # notices a change of the terminal's size
            self.console.print(Text(line), no_wrap=True, overflow="ellipsis", crop=True)
        else:
            report.message(line)

    def summary(self, r: Finished) -> None:
        """Print the results of the run to stdout."""
        if r.figure:
            report.data(f"best validation {r.figure[0]} {shown_figure(r.figure)}, loss {r.valid_loss:.4f}")
        elif r.valid_loss is not None:
            floor = f" (floor {r.floor_perplexity:.2f})" if r.floor_perplexity else ""
            which = "validation loss" if self.counting else "best validation loss"
            report.data(f"{which} {r.valid_loss:.4f} nats per token, perplexity {r.perplexity:,.2f}{floor}")
        elif math.isfinite(r.train_loss):
            why = f"not validated{' yet' * r.interrupted}" if self.run.valid_tokens else "no validation, since nothing was held out"
            unit = "" if self.run.labelled else " nats per token"
            report.data(f"training loss {r.train_loss:.4f}{unit}; {why}")
        memory = f", peak memory {r.peak_memory_bytes / 1e6:,.0f} MB" if r.peak_memory_bytes else ""
        done, seconds = report.number_of(r.steps, "step"), r.seconds
        if self.counting and self.dashboard.step:
            done, seconds = f"{report.number_of(r.parameters, 'n-gram')} counted", self.dashboard.step.seconds
        report.data(f"{done} in {report.duration(seconds)}, {r.tokens_per_second:,.0f} tokens/s{memory}")
        report.data(f"saved to {report.printable(r.run)}{' (interrupted)' if r.interrupted else ''}")
        if r.interrupted and not self.counting:
            report.data(f"resume with: nlm train --resume --out {report.shell_word(r.run)}")
        if self.run.labelled:
            report.data(f"next: nlm eval --run {report.shell_word(r.run)}")
            return
        report.data(f"next: nlm generate --run {report.shell_word(r.run)} --prompt {report.printable(report.quoted(self.run.prompt))}")


def clusters_line(clusters: tuple[tuple[int, float], ...]) -> str:
    """The parts of an adaptive softmax: "adaptive softmax: 1,000 words (75 % of the tokens), then a cluster of 9,000 (25 %)"."""
    (words, share), *rest = clusters
    parts = [f"{size:,} ({part:.0%})" for size, part in rest]
    kind = "a cluster" if len(rest) == 1 else "clusters"
    return f"adaptive softmax: {words:,} words ({share:.0%} of the tokens), then {kind} of {', '.join(parts)}"


def shown_figure(figure: tuple[str, float]) -> str:
    """The value of a task's own figure: a percentage, or a correlation."""
    name, value = figure
    return f"{value:.4f}" if name == "Pearson" else f"{value:.2%}"
