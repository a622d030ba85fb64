"""Options that several commands have, said once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nlmcli import text
from nlmcli.cli import report


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
TOKENIZERS = f"{one_of(text.names())}; whitespace: the text is tokenised already. Or a .json file that nlm tokenize --out made."
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


def announce_compiling(quiet: bool) -> None:
    """Have it said when kernels are about to be compiled, which takes seconds; where they are kept already nothing is said."""
    from nlmcli import kernel_cache

    once = ", once" if kernel_cache.FOLDER else ""
    kernel_cache.BEFORE_COMPILING[:] = [] if quiet else [lambda: report.message(f"compiling kernels for this CPU{once}")]
