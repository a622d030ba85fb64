"""nlm report: a page that shows runs."""

import platform
from pathlib import Path
from typing import Annotated

import typer

from nlmcli import __version__
from nlmcli.cli import options
from nlmcli.cli import report as output

Runs = Annotated[
    list[Path] | None, typer.Argument(metavar="RUN", help=rf"{options.RUN} Several are compared. {options.NEWEST}", show_default=False)
]
Out = Annotated[Path, typer.Option(metavar="FILE", help="The HTML file to write.")]


def report(
    runs: Runs = None,
    out: Out = Path("report.html"),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write a page that shows a run: curves, samples, a passage token by token,
    embeddings, and what goes on inside. It needs no network and no server.

    Example: nlm report --out report.html
    """
    from nlmcli.cli import page
    from nlmcli.engine.run.atomic import write_atomically
    from nlmcli.engine.run.saved import newest_run
    from nlmcli.engine.viewing.summary import summary

    options.announce_compiling(quiet)
    summaries = [summary(run) | {"versions": versions()} for run in runs or [newest_run()]]
    content = page.build(summaries).encode()
    write_atomically(out, lambda file: file.write(content))
    if json:
        output.document({"page": str(out), "bytes": len(content), "runs": [each["run"] for each in summaries]})
    else:
        output.data(output.printable(f"wrote {out}; {len(content) / 1e3:,.0f} kB"))


def versions() -> dict[str, str]:
    """Of what the figures of a page were computed with."""
    import numpy as np

    return {"nlm": __version__, "Python": platform.python_version(), "NumPy": np.__version__}
