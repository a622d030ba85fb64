"""nlm generate: text from a model."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.cli.command import command_with, given
from nlmcli.errors import InputError
from nlmcli.options import Listed, check_at_least, listed


def fields() -> Iterable[Listed]:
    """The options of sampling."""
    from nlmcli.engine.writing.sampling import Sampling

    return listed(Sampling).values()


Command = command_with(fields)


Prompt = Annotated[str | None, typer.Option(metavar="TEXT", help="What the text begins with.", show_default=False)]
Length = Annotated[int | None, typer.Option(metavar="N", help="How many tokens to write. Default: 100.", show_default=False)]
Num = Annotated[int | None, typer.Option(metavar="N", help="How many texts to write. Default: 1.", show_default=False)]
Seed = Annotated[int | None, typer.Option(metavar="N", help="The same seed writes the same text.", show_default=False)]
Beam = Annotated[
    int | None,
    typer.Option(metavar="W", help="Draw nothing: search for the most probable text, W at a time.", show_default=False),
]
LengthPenalty = Annotated[
    float | None, typer.Option(metavar="A", help="With --beam: above 0, longer texts lose less. Default: 0.6.", show_default=False)
]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="End before this; may be given again. A model of lines ends at the line's end.", show_default=False),
]
Probs = Annotated[int | None, typer.Option(metavar="K", help="Write nothing; show the K most probable next tokens.", show_default=False)]
Interactive = Annotated[bool, typer.Option("--interactive", "-i", help="Ask for a prompt, again and again.")]
Choose = Annotated[int | None, typer.Option(metavar="K", help="You choose each next token, from the K most probable.", show_default=False)]


# Ways of writing, each with the options that could not act in it.
IDLE = {
    "beam": ("num", "seed"),
    "choose": ("num", "seed", "stop", "json"),
    "interactive": ("prompt", "json"),
    "probs": ("num", "seed", "stop"),
}


def generate(
    ctx: typer.Context,
    run: options.Run = None,
    prompt: Prompt = None,
    length: Length = None,
    num: Num = None,
    seed: Seed = None,
    beam: Beam = None,
    length_penalty: LengthPenalty = None,
    stop: Stop = None,
    probs: Probs = None,
    interactive: Interactive = False,
    choose: Choose = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write text with a trained model, token by token, or show what it thinks comes next.

    Example: nlm generate --prompt "students opened their" --probs 5
    """
    from nlmcli.engine.writing.beam import LENGTH_PENALTY
    from nlmcli.engine.writing.generate import next_words
    from nlmcli.engine.writing.sampling import Sampling

    sampling = Sampling(**given(ctx))
    sampling.check()
    refuse_idle(ctx.params, sampling != Sampling())
    options.announce_compiling(quiet)
    lm = options.load(run)
    penalty = LENGTH_PENALTY if length_penalty is None else length_penalty
    writing = Writing(lm, 100 if length is None else length, num or 1, seed, sampling, tuple(stop or ()), beam, penalty, quiet)
    prompt = prompt or ""
    if choose is not None:
        choosing(lm, writing.read(prompt), choose, writing.length, sampling)
    elif interactive:
        for line in asked("prompt: "):
            writing.show(line)
    elif probs is not None:
        show_next(prompt, next_words(lm, writing.read(prompt), probs, sampling), json)
    elif json:
        report.document({"prompt": prompt, "texts": writing.texts(prompt)})
    else:
        writing.show(prompt)


def refuse_idle(typed: dict[str, Any], draws: bool) -> None:
    """Raises InputError for values out of range, and for options that could not act together.  draws: options of sampling are given."""
    for name, least in (("length", 0), ("num", 1), ("seed", 0), ("probs", 1), ("choose", 1), ("beam", 1)):
        check_at_least(name, typed[name], least)
    if "" in (typed["stop"] or ()):
        raise InputError("--stop is empty; give the text before which to end")
    ways = {name: typed[name] for name in IDLE}
    options.refuse_together(**ways)
    for way in (name for name, value in ways.items() if value):
        options.refuse_with(way, **{name: typed[name] for name in IDLE[way]})
    if not typed["beam"]:
        options.refuse_without("beam", length_penalty=typed["length_penalty"])
    elif draws:
        raise InputError("--beam draws nothing: leave out --temperature and the other options of drawing")


@dataclass(frozen=True)
class Writing:
    """How texts are to be written: all the options but the prompt."""

    lm: Any
    length: int
    num: int
    seed: int | None
    sampling: Any
    stop: tuple[str, ...]
    beam: int | None
    length_penalty: float
    quiet: bool

    def read(self, prompt: str) -> str:
        """The prompt as the model can read it, what is special about that said."""
        from nlmcli.engine.writing.generate import readable

        prompt, notes = readable(self.lm, prompt)
        for note in () if self.quiet else notes:
            report.message(report.printable(note))
        return prompt

    def pieces(self, prompt: str) -> Iterator[tuple[int, str]]:
        """(which text, what it goes on with), piece by piece."""
        from nlmcli.engine.writing.beam import beam_search
        from nlmcli.engine.writing.generate import write

        prompt = self.read(prompt)
        if self.beam is None:
            return write(self.lm, prompt, self.length, self.num, self.seed, self.sampling, self.stop)
        found = beam_search(self.lm, prompt, self.length, self.beam, self.length_penalty, self.stop)
        return iter([(0, found.text + found.decoder.rest())])

    def texts(self, prompt: str) -> list[str]:
        """The whole texts."""
        written = [prompt for _ in range(self.num)]
        for i, piece in self.pieces(prompt):
            written[i] += piece
        return written

    def show(self, prompt: str) -> None:
        """Write to stdout: one text while it comes, several when they are there."""
        if self.num == 1:
            pieces = self.pieces(prompt)  # says what is special about the prompt before it is shown
            report.data(report.written(prompt), end="")
            for _, piece in pieces:
                report.data(report.written(piece), end="")
            report.data()
            return
        for i, text in enumerate(self.texts(prompt), 1):
            if i > 1 and self.lm.settings.by == "stream":
                report.data(f"--- {i} of {self.num} ---")
            report.data(report.written(text))


def show_next(prompt: str, found: list[tuple[str, float]], json: bool) -> None:
    """The most probable next tokens, as bars."""
    if json:
        report.document({"prompt": prompt, "next": [{"token": t, "p": p} for t, p in found]})
        return
    report.data(f"{report.printable(prompt)} ____")
    for line in bars(found):
        report.data("  " + line)


def bars(found: list[tuple[str, float]], numbered: bool = False) -> list[str]:
    """A line for each token, with its probability and a bar."""
    rows = [(report.printable(token), report.probability(p, 4), report.bar(p)) for token, p in found]
    if numbered:
        return report.columns([(str(k), *row) for k, row in enumerate(rows, 1)], right=(0, 2))
    return report.columns(rows, right=(1,))


def asked(question: str) -> Iterator[str]:
    """The lines that a person answers a question with, again and again, until their end (Ctrl-D)."""
    while True:
        if sys.stdin.isatty():
            print(question, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            if sys.stdin.isatty():
                report.message()
            return
        yield line.removesuffix("\n")


def choosing(lm: Any, prompt: str, k: int, length: int, sampling: Any) -> None:
    """Show what comes next and have a person choose it, until the end of what they type, or of the text."""
    from nlmcli.engine.writing.choose import Choosing

    text = Choosing(lm, prompt, sampling)
    answers = asked(f"1 to {k}, or text of your own; Enter takes 1, Ctrl-D ends: ")
    for _ in range(length):
        found = text.most_probable(k)
        report.data(f"{report.printable(text.written)} ____")
        for line in bars(found, numbered=True):
            report.data("  " + line)
        answer = next(answers, None)
        if answer is None:
            break
        if (answer.strip().isdigit() and 1 <= int(answer) <= len(found)) or not answer.strip():
            text.take(int(answer) if answer.strip() else 1)
        else:
            text.add(answer)
    report.data(report.written(text.written))
