"""nlm export: a trained model in a format of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from nlmcli.cli import options, report

Run = Annotated[Path, typer.Argument(metavar="RUN", help=options.RUN, show_default=False)]
Target = Annotated[Path, typer.Argument(metavar="PATH", help="The file or folder to write.", show_default=False)]
To = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT", help=r"Format: arpa, gguf, hf, state-dict, tsv, vec. \[default: told by the ending of PATH]", show_default=False
    ),
]


def export(
    run: Run,
    path: Target,
    to: To = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Export a trained model for use by other programs.

    arpa: n-gram models for kenlm and SRILM. hf: a Transformer or Mamba as a
    folder for Hugging Face's transformers. gguf: a Transformer with bpe for
    llama.cpp. state-dict: rnn, lstm or gru for PyTorch. vec: embeddings for
    gensim. tsv: embeddings as a folder for the Embedding Projector.

    Example: nlm export runs/students-rnn-1 students.vec
    """
    from nlmcli.engine.exchange.export import export

    options.announce_compiling(quiet)
    exported = export(options.load_any(run), path, to)
    if json:
        report.document(vars(exported) | {"path": str(exported.path)})
        return
    for note in () if quiet else exported.notes:
        report.message(report.printable(note))
    files = f": {', '.join(exported.files)}" if exported.files else ""
    report.data(report.printable(f"wrote {path}{files}; {exported.bytes / 1e6:,.1f} MB"))
    if exported.usage and not quiet:
        report.message(report.printable(f"in Python: {exported.usage}"))
