"""Options that several commands have, said once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nlmcli import text
from nlmcli.cli import report
from nlmcli.errors import InputError


def one_of(names: Sequence[str]) -> str:
    """a, b or c."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def wish(ctx: typer.Context, wanted: bool) -> None:
    """Note that --debug was given, for whoever began this."""
    if wanted:
        ctx.ensure_object(dict)["debug"] = True


Debug = Annotated[bool, typer.Option("--debug", callback=wish, is_eager=True, hidden=True)]
Corpus = Annotated[
    list[str] | None,
    typer.Argument(metavar="CORPUS", help="Text files; - is stdin. None: the corpus that ships with nlm.", show_default=False),
]
RUN = "A run's folder or a checkpoint. Default: the newest run under ./runs."
Run = Annotated[Path | None, typer.Option(metavar="PATH", help=RUN, show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="End with one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")]
TOKENIZERS = f"{one_of(text.names())}; whitespace: the text is tokenised already. Or a file of nlm tokenize --out, or a tokenizer.json."
VOCAB_SIZE = "At most N types; rarer ones are <unk>. Default for bpe: 8192 tokens."
MIN_COUNT = "Types seen less than K times are <unk>; bpe: pairs are not merged. Default: 2 for word and bpe, else 1."
Encoding = Annotated[str, typer.Option(metavar="NAME", help="How the bytes of the corpus are to be read.")]
Tokenizer = Annotated[str, typer.Option(metavar="NAME", help=TOKENIZERS)]
VocabSize = Annotated[int | None, typer.Option(metavar="N", help=VOCAB_SIZE, show_default=False)]
MinCount = Annotated[int | None, typer.Option(metavar="K", help=MIN_COUNT, show_default=False)]
Lowercase = Annotated[bool, typer.Option("--lowercase", help="Read everything in lower case.")]


def load(run: Path | None):
    """The language model of --run, or of the newest run."""
    from nlmcli.engine.language_model import LanguageModel, newest_run

    return LanguageModel.load(run or newest_run())


def refuse_together(**given: object) -> None:
    """Raises InputError where more than one of these options was given."""
    names = [dashed(name) for name, value in given.items() if value]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)} do not go together; give one of them")


def refuse_without(other: str, **given: object) -> None:
    """Raises InputError for the first of these options that was given: they are about another, which was not."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{dashed(name)} is about {dashed(other)}; give that too")


def dashed(name: str) -> str:
    """An option as it is typed."""
    return "--" + name.replace("_", "-")


def announce_compiling(quiet: bool) -> None:
    """Have it said when kernels are about to be compiled, which takes seconds; where they are kept already nothing is said."""
    from nlmcli import kernel_cache

    once = ", once" if kernel_cache.FOLDER else ""
    kernel_cache.BEFORE_COMPILING[:] = [] if quiet else [lambda: report.message(f"compiling kernels for this CPU{once}")]
