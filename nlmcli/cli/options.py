"""Options that several commands have, said once."""

from pathlib import Path
from typing import Annotated

import typer

Corpus = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CORPUS]...", help="Text files; - is stdin. None: the corpus that ships with nlm.", show_default=False),
]
Run = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="A run's folder or a checkpoint. Default: the newest run under ./runs.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="End with one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")]
Encoding = Annotated[str, typer.Option(help="How the bytes of the corpus are to be read.")]
Tokenizer = Annotated[str, typer.Option(metavar="NAME", help="word, whitespace (text that is tokenised already), char or byte.")]
VocabSize = Annotated[int | None, typer.Option(metavar="N", help="At most N types; rarer ones are <unk>.", show_default=False)]
MinCount = Annotated[
    int | None, typer.Option(metavar="K", help="Types seen less than K times are <unk>. Default: 2 for word, else 1.", show_default=False)
]
Lowercase = Annotated[bool, typer.Option("--lowercase", help="Read everything in lower case.")]


def load(run: Path | None):
    """The language model of --run, or of the newest run."""
    from nlmcli.engine.language_model import LanguageModel, newest_run

    return LanguageModel.load(run or newest_run())
