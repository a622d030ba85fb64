"""What `nlm train` shows while it runs: a live line on a terminal, plain lines elsewhere."""

import sys
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nlmcli.cli import report
from nlmcli.engine.evaluate import perplexity
from nlmcli.engine.settings import Settings
from nlmcli.engine.train import Compiled, Evaluated, Finished, Started, Stepped


class Progress:
    """Shows the records of a training run on stderr."""

    def __init__(self, settings: Settings, quiet: bool):
        self.settings, self.quiet = settings, quiet
        self.losses: list[float] = []
        self.step: Stepped | None = None
        console = Console(stderr=True)
        on_terminal = sys.stderr.isatty() and not quiet
        self.live = Live(console=console, get_renderable=self.line, refresh_per_second=8, transient=True) if on_terminal else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.live and self.live.is_started:
            self.live.stop()

    def show(self, record: Any) -> None:
        """Take in a record and show what is worth showing."""
        if isinstance(record, Stepped):
            self.step = record
            return
        if self.quiet:
            return
        if isinstance(record, Started):
            self.started(record)
        elif isinstance(record, Compiled):
            if record.seconds > 1:
                self.say(f"compiled kernels for this CPU, once: {record.seconds:.1f} s")
            if self.live:
                self.live.start()
        elif isinstance(record, Evaluated):
            self.evaluated(record)
        elif isinstance(record, Finished):
            self.stop()

    def started(self, r: Started) -> None:
        s = self.settings
        epochs = r.steps * r.tokens_per_step / r.train_tokens
        self.say(f"{r.model}, {r.parameters:,} parameters, {r.vocabulary:,} types ({s.tokenizer}); {r.unknown_rate:.1%} unknown")
        self.say(f"{r.train_tokens:,} tokens to train on, {r.valid_tokens:,} held out, by {s.by}")
        self.say(
            f"{r.steps:,} steps of {r.tokens_per_step:,} tokens ({epochs:.1f} epochs), {s.optimizer}, "
            f"learning rate {r.lr:g} {s.schedule}, {r.threads} thread{'s' * (r.threads > 1)}"
        )
        self.say(f"run: {r.run}")

    def evaluated(self, r: Evaluated) -> None:
        self.losses.append(r.valid_loss)
        step = self.step
        assert step is not None
        self.say(
            f"step {r.step:>6,}  train {r.train_loss:.4f}  valid {r.valid_loss:.4f}{'*' if r.best else ' '}  "
            f"perplexity {perplexity(r.valid_loss):,.2f}  {step.tokens_per_second:,.0f} tokens/s  "
            f"{report.duration(step.seconds)}, {report.duration(step.seconds_left)} left"
        )
        words = " ".join(report.printable(r.sample).split())
        self.say(f"             {words[:100]}")

    def say(self, line: str) -> None:
        if self.live and self.live.is_started:
            self.live.console.print(Text(line, no_wrap=True, overflow="ellipsis"))
        else:
            report.message(line)

    def line(self) -> Text:
        """The live line: where the run is."""
        r = self.step
        if r is None:
            return Text("")
        steps = f"step {r.step:,} · epoch {r.epoch:.2f} · loss {r.loss:.3f} · perplexity {perplexity(r.loss):,.1f}"
        speed = f"{r.tokens_per_second:,.0f} tokens/s · {report.duration(r.seconds_left)} left"
        return Text(f"{steps} · {speed} · {report.curve(self.losses)}", no_wrap=True, overflow="ellipsis")

    def summary(self, r: Finished) -> None:
        """After the run, on stdout."""
        if r.valid_loss is not None:
            floor = f"; the floor of this text is {r.floor_perplexity:.2f}" if r.floor_perplexity else ""
            report.data(f"best validation loss {r.valid_loss:.4f} nats per token, perplexity {r.perplexity:,.2f}{floor}")
        else:
            report.data(f"training loss {r.train_loss:.4f} nats per token; nothing was held out to validate on")
        memory = f", {r.peak_memory_bytes / 1e6:,.0f} MB at most" if r.peak_memory_bytes else ""
        report.data(f"{r.steps:,} steps in {report.duration(r.seconds)}, {r.tokens_per_second:,.0f} tokens/s{memory}")
        report.data(f"saved in {r.run}{' (interrupted)' if r.interrupted else ''}")
        report.data(f'next: nlm generate --run {r.run} --prompt "{prompt_for(self.settings)}"')


def prompt_for(settings: Settings) -> str:
    return "students opened their" if not settings.corpus else "The"
