"""nlm generate: text from a model."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.cli.command import command_with, typed_options
from nlmcli.errors import InputError
from nlmcli.options import OptionField, check_at_least, option_fields


def fields() -> Iterable[OptionField]:
    """The sampling options."""
    from nlmcli.engine.writing.sampling import Sampling

    return option_fields(Sampling).values()


Command = command_with(fields)


Prompt = Annotated[str | None, typer.Option(metavar="TEXT", help="Text to continue.", show_default=False)]
Length = Annotated[int | None, typer.Option(metavar="N", help=r"Maximum number of new tokens. \[default: 100]", show_default=False)]
Num = Annotated[int | None, typer.Option(metavar="N", help=r"Number of texts. \[default: 1]", show_default=False)]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Random seed: the same seed generates the same text.", show_default=False)]
Beam = Annotated[int | None, typer.Option(metavar="W", help="Beam search with W hypotheses instead of sampling.", show_default=False)]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        metavar="A", help=r"Length penalty of --beam; the larger, the longer the texts it prefers. \[default: 0.6]", show_default=False
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Stop before this string; may be repeated. A model trained with --by line also stops at the end of the line.",
        show_default=False,
    ),
]
Probs = Annotated[
    int | None, typer.Option(metavar="K", help="Show the K most probable next tokens instead of generating.", show_default=False)
]
Interactive = Annotated[bool, typer.Option("--interactive", "-i", help="Ask for one prompt after another.")]
Choose = Annotated[
    int | None, typer.Option(metavar="K", help="Choose each next token yourself from the K most probable.", show_default=False)
]

Cache = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Neural cache: what followed similar contexts in the last N tokens becomes more probable.", show_default=False
    ),
]
CacheTheta = Annotated[
    float | None, typer.Option(metavar="X", help=r"Sharpness of --cache. \[default: fitted on the held-out text]", show_default=False)
]
CacheWeight = Annotated[
    float | None, typer.Option(metavar="X", help=r"Weight of --cache. \[default: fitted on the held-out text]", show_default=False)
]

VISIBLE = 5e-5  # a probability that shows at four digits

# Modes of the command, each with the options that have no effect in it.
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
    cache: Cache = None,
    cache_theta: CacheTheta = None,
    cache_weight: CacheWeight = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Generate text with a trained model, or show the most probable next tokens.

    Example: nlm generate --prompt "students opened their" --probs 5
    """
    from nlmcli.engine.writing.beam import LENGTH_PENALTY
    from nlmcli.engine.writing.generate import next_words, unknown_probability
    from nlmcli.engine.writing.sampling import Sampling

    sampling = Sampling(**typed_options(ctx))
    sampling.check()
    refuse_idle(ctx.params, sampling != Sampling())
    options.announce_compiling(quiet)
    lm = options.load(run)
    if cache is not None:
        lm = with_cache(lm, cache, cache_theta, cache_weight)
    penalty = LENGTH_PENALTY if length_penalty is None else length_penalty
    generator = Generator(lm, 100 if length is None else length, num or 1, seed, sampling, tuple(stop or ()), beam, penalty, quiet)
    prompt = prompt or ""
    if choose is not None:
        choose_tokens(lm, generator.readable(prompt), choose, generator.length, sampling)
    elif interactive:
        for line in answers("prompt: "):
            generator.print(line)
    elif probs is not None:
        print_next_tokens(prompt, next_words(lm, generator.readable(prompt), probs, sampling), json)
        if not quiet and (p := unknown_probability(lm, prompt)) >= VISIBLE:
            report.message(f"<unk> is left out here; nlm eval --tokens includes it, with probability {p:.4f}")
    elif json:
        report.document({"prompt": prompt, "texts": generator.texts(prompt)})
    else:
        generator.print(prompt)


def with_cache(lm: Any, size: int, theta: float | None, weight: float | None) -> Any:
    """The model with a neural cache, whose θ and λ are fitted on the run's held-out text unless they are given."""
    from nlmcli.engine.run.neural_cache import Recall
    from nlmcli.engine.scoring.evaluate import combined

    mixture = combined(lm, cache=size, theta=theta, weight=weight)
    assert mixture.cache is not None
    return replace(lm, recall=Recall(mixture.cache, mixture.weights[-1]))


def refuse_idle(typed: dict[str, Any], samples: bool) -> None:
    """Raises InputError for values out of range, and for options without effect.  samples: sampling options are given."""
    for name, least in (("length", 0), ("num", 1), ("seed", 0), ("probs", 1), ("choose", 1), ("beam", 1)):
        check_at_least(name, typed[name], least)
    if "" in (typed["stop"] or ()):
        raise InputError("--stop is empty; give the string to stop before")
    ways = {name: typed[name] for name in IDLE}
    options.refuse_together(**ways)
    for way in (name for name, value in ways.items() if value):
        options.refuse_with(way, **{name: typed[name] for name in IDLE[way]})
    if typed["cache"] is None:
        options.refuse_without("cache", cache_theta=typed["cache_theta"], cache_weight=typed["cache_weight"])
    if not typed["beam"]:
        options.refuse_without("beam", length_penalty=typed["length_penalty"])
    elif samples:
        raise InputError("--beam does not sample; leave out --temperature and the other sampling options")


@dataclass(frozen=True)
class Generator:
    """Generates texts with all of the options but the prompt."""

    lm: Any
    length: int
    num: int
    seed: int | None
    sampling: Any
    stop: tuple[str, ...]
    beam: int | None
    length_penalty: float
    quiet: bool

    def readable(self, prompt: str) -> str:
        """The prompt as the model can read it; prints a message for what had to be replaced."""
        from nlmcli.engine.writing.generate import readable

        prompt, notes = readable(self.lm, prompt)
        for note in () if self.quiet else notes:
            report.message(report.printable(note))
        return prompt

    def pieces(self, prompt: str) -> Iterator[tuple[int, str]]:
        """(index of the text, next piece of it), piece by piece."""
        from nlmcli.engine.writing.beam import beam_search
        from nlmcli.engine.writing.generate import write

        prompt = self.readable(prompt)
        if self.beam is None:
            return write(self.lm, prompt, self.length, self.num, self.seed, self.sampling, self.stop)
        best = beam_search(self.lm, prompt, self.length, self.beam, self.length_penalty, self.stop)
        return iter([(0, best.text + best.decoder.rest())])

    def texts(self, prompt: str) -> list[str]:
        """The complete texts, each with the prompt."""
        texts = [prompt for _ in range(self.num)]
        for i, piece in self.pieces(prompt):
            texts[i] += piece
        return texts

    def print(self, prompt: str) -> None:
        """Print to stdout: a single text piece by piece as it is generated, several when they are complete."""
        if self.num == 1:
            pieces = self.pieces(prompt)  # its messages come before the prompt
            report.data(report.written(prompt), end="")
            for _, piece in pieces:
                report.data(report.written(piece), end="")
            report.data()
            return
        for i, text in enumerate(self.texts(prompt), 1):
            if i > 1 and self.lm.settings.by == "stream":
                report.data(f"--- {i} of {self.num} ---")
            report.data(report.written(text))


def print_next_tokens(prompt: str, tokens: list[tuple[str, float]], json: bool) -> None:
    """Print the most probable next tokens as a bar chart, or as JSON."""
    if json:
        report.document({"prompt": prompt, "next": [{"token": t, "p": p} for t, p in tokens]})
        return
    report.data(f"{report.printable(prompt)} ____")
    for line in bars(tokens):
        report.data("  " + line)


def bars(tokens: list[tuple[str, float]], numbered: bool = False) -> list[str]:
    """A line for each token, with its probability and a bar."""
    rows = [(report.printable(token), report.probability(p, 4), report.bar(p)) for token, p in tokens]
    if numbered:
        return report.columns([(str(k), *row) for k, row in enumerate(rows, 1)], right=(0, 2))
    return report.columns(rows, right=(1,))


def answers(question: str) -> Iterator[str]:
    """The lines of stdin up to its end (Ctrl-D); on a terminal the question is printed before each."""
    while True:
        if sys.stdin.isatty():
            print(question, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            if sys.stdin.isatty():
                report.message()
            return
        yield line.removesuffix("\n")


def choose_tokens(lm: Any, prompt: str, k: int, length: int, sampling: Any) -> None:
    """Show the k most probable next tokens and let the user choose one or type text, up to `length` times or the end of stdin."""
    from nlmcli.engine.writing.choose import Choosing

    text = Choosing(lm, prompt, sampling)
    lines = answers(f"1 to {k}, or type any text; Enter takes 1, Ctrl-D ends: ")
    for _ in range(length):
        tokens = text.most_probable(k)
        report.data(f"{report.printable(text.written)} ____")
        for line in bars(tokens, numbered=True):
            report.data("  " + line)
        answer = next(lines, None)
        if answer is None:
            break
        if (answer.strip().isdigit() and 1 <= int(answer) <= len(tokens)) or not answer.strip():
            text.take(int(answer) if answer.strip() else 1)
        else:
            text.add(answer)
    report.data(report.written(text.written))
