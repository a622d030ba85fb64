"""nlm sweep: many runs of one study, by several processes and machines."""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from nlmcli.cli import options, report
from nlmcli.cli.train import SIGNALS

SHOWN_POINTS = 20
ARGUMENT = typer.Argument(
    metavar="SWEEP.yaml", help="What to try: options with lists of values or ranges, and a method.", show_default=False
)


def opt(help: str, metavar: str | None = None, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help.replace("[", r"\["), metavar=metavar, show_default=False, **more)


def sweep(
    file: Annotated[Path, ARGUMENT],
    out: Annotated[
        Path | None, opt("Folder of the sweep and its runs; if it exists, take part in it. [default: sweeps/NAME]", "PATH")
    ] = None,
    jobs: Annotated[int | None, opt("Number of processes, which share the threads. [default: one per thread]", "N")] = None,
    threads: Annotated[int | None, opt("Number of threads of all processes together. [default: one per CPU]", "N")] = None,
    study: Annotated[
        str | None,
        opt(
            "Database to keep the study in, such as sqlite:///study.db or postgresql://host/name. [default: a file in the folder]",
            "ADDRESS",
        ),
    ] = None,
    task: Annotated[int | None, opt("Run only this trial, from 0 on, as a task of a Slurm array does.", "I")] = None,
    dry_run: Annotated[
        bool, opt("Show the number of trials, the time and the memory they need, and train nothing.", None, "--dry-run")
    ] = False,
    worker: Annotated[bool, typer.Option("--worker", hidden=True)] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Train with many settings, and find the best.

    The same command on another machine that sees the folder, or the database,
    takes part. Started again, it goes on: runs that were killed are resumed.

    Example: nlm sweep sweep.yaml --jobs 2
    """
    from nlmcli.engine.gradient.threads import MAX_THREADS, available_threads
    from nlmcli.engine.sweep.space import check_points, read_space
    from nlmcli.errors import InputError
    from nlmcli.options import check_at_least

    check_at_least("jobs", jobs, 1, MAX_THREADS)
    check_at_least("threads", threads, 1, MAX_THREADS)
    available = threads or available_threads()
    number = 1 if task is not None else jobs or available
    space = read_space(file)
    if task is not None and (not 0 <= task < space.trials or space.method == "tpe"):
        last = f"this sweep has the trials 0 to {space.trials - 1:,}"
        raise InputError(
            "--task needs trials that are known before, of a grid or at random" if space.method == "tpe" else f"--task {task}: {last}"
        )
    options.announce_compiling(quiet)
    each = max(1, available // number)
    if dry_run:
        check_points(space)
        show_forecast(space, each, number, json, quiet)
        return 0
    folder = prepared(file, space, out, study)
    if worker:
        return work(space, folder, study, each, task)
    given = ["--out", str(folder), "--threads", str(each), "--jobs", "1", *(["--study", study] if study else [])]
    return follow(
        space, folder, study, [str(file), *given, *(["--task", str(task)] if task is not None else [])], number, task, json, quiet
    )


def prepared(file: Path, space: Any, out: Path | None, study: str | None) -> Path:
    """The folder of the sweep, with a copy of its file.  Raises InputError if it is another's, or if points are impossible."""
    from nlmcli.engine.sweep.results import ADDRESS
    from nlmcli.engine.sweep.space import check_points, read_space
    from nlmcli.engine.sweep.study import SPACE
    from nlmcli.errors import InputError
    from nlmcli.text.corpus import expanded

    folder = expanded(out or Path("sweeps") / file.stem)
    copy = folder / SPACE
    if copy.exists():
        if read_space(copy).definition() != space.definition() or read_space(copy).trials > space.trials:
            raise InputError(f"{folder} holds another sweep than {file}; give another --out, or its own file, {copy}")
    else:
        check_points(space)
        # Another process may be about to write the copy; what it writes first has a name that begins with a dot.
        if folder.exists() and any(not each.name.startswith(".") for each in folder.iterdir()) and not copy.exists():
            raise InputError(f"{folder} holds something else; give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    keep(copy, file.read_bytes())
    if study:
        keep(folder / ADDRESS, f"{study}\n".encode())
    return folder


def keep(path: Path, content: bytes) -> None:
    """Write a file, unless it holds this already: the other processes of the sweep may be reading it."""
    from nlmcli.engine.run.atomic import write_atomically

    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, lambda file: file.write(content))


def work(space: Any, folder: Path, address: str | None, threads: int, task: int | None) -> int:
    """Run trials until none is left. A worker whose parent died ends after the current step."""
    from nlmcli.engine.sweep.study import Study
    from nlmcli.engine.sweep.worker import Worker

    worker = Worker(Study(space, folder, address), threads)
    for each in SIGNALS:
        signal.signal(each, lambda *_: worker.interrupt())
    threading.Thread(target=watch_parent, args=(worker, os.getppid()), daemon=True).start()
    worker.work(task)
    return 0


def watch_parent(worker: Any, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    worker.interrupt()


def follow(
    space: Any, folder: Path, address: str | None, arguments: list[str], number: int, task: int | None, json: bool, quiet: bool
) -> int:
    """Start the workers, show how the trials go, and report what came out."""
    from nlmcli.engine.sweep.jobs import Jobs, worker_command
    from nlmcli.engine.sweep.results import is_finished
    from nlmcli.engine.sweep.study import Study

    study = Study(space, folder, address)
    todo = sum(each.state in ("waiting", "running") for each in study.trials())
    if not quiet:
        what = report.number_of(space.trials, "trial")
        report.message(
            report.printable(f"{what}, {space.method}{f', one in {space.reduction} goes on' if space.reduction else ''}; sweep: {folder}")
        )
    jobs = Jobs(worker_command(arguments), min(number, max(1, todo)), folder / "workers.log")
    for each in SIGNALS:
        signal.signal(each, lambda *_: jobs.stop())
    with ProgressDisplay(quiet) as progress:
        for _ in jobs.wait():
            progress.update(study.trials())
        trials = study.trials()
        progress.update(trials)
    if task is not None and not jobs.stopping:
        trials = [trials[task]]
    finished = is_finished(trials)
    show_results(study, json, quiet, jobs.stopping and not finished)
    return 130 if jobs.stopping and not finished else 0


class ProgressDisplay:
    """A live panel in a terminal; elsewhere a line for every trial that ends."""

    def __init__(self, quiet: bool):
        self.quiet, self.seen, self.trials = quiet, set[int](), list[Any]()
        console = Console(stderr=True)
        live = console.is_interactive and sys.stderr.isatty() and not quiet
        self.live = Live(console=console, get_renderable=self.panel, refresh_per_second=2, transient=True) if live else None

    def __enter__(self) -> "ProgressDisplay":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def update(self, trials: Sequence[Any]) -> None:
        first, self.trials = not self.trials, list(trials)
        for each in trials:
            if each.state in ("complete", "pruned", "failed") and each.number not in self.seen:
                self.seen.add(each.number)
                if not first and not self.quiet:
                    self.print(trial_line(each))

    def print(self, line: str) -> None:
        if self.live:
            self.live.console.print(Text(line), no_wrap=True, overflow="ellipsis", crop=True)
        else:
            report.message(line)

    def panel(self) -> Text:
        running = [trial_line(each) for each in self.trials if each.state == "running"]
        counts = {
            state: sum(each.state == state for each in self.trials) for state in ("complete", "pruned", "failed", "running", "waiting")
        }
        summary = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
        return Text("\n".join([*running, summary]), no_wrap=True, overflow="ellipsis")


def trial_line(trial: Any) -> str:
    """ "trial 3  lr 0.003, hidden 64  complete  2.1032 in 12.3 s"."""
    from nlmcli.engine.sweep.space import shown

    head = f"trial {trial.number:>3}  {shown(trial.options)}"
    if trial.state == "failed":
        return report.printable(f"{head}  failed: {trial.reason}")
    if trial.state == "running":
        last = f"step {trial.losses[-1][0]:,}  {trial.losses[-1][1]:.4f}" if trial.losses else "begun"
        return report.printable(f"{head}  {last}")
    loss = "" if trial.loss is None else f"  {trial.loss:.4f}"
    return report.printable(f"{head}{loss}{'  pruned' if trial.state == 'pruned' else ''}  {report.duration(trial.seconds or 0)}")


def show_results(study: Any, json: bool, quiet: bool, interrupted: bool = False, limit: int | None = SHOWN_POINTS) -> None:
    """Print the points, best first, and write the options of the best.  limit: how many points; None: all"""
    from nlmcli.engine.sweep.results import best_of, points_of, write_best

    trials, space = study.trials(), study.space
    points = points_of(space, trials)
    best = best_of(points)
    path = write_best(study, best) if best else None
    if json:
        report.document(as_document(study, space, trials, best, path))
        return
    for line in table(space, points[:limit]):
        report.data(line)
    if limit is not None and len(points) > limit:
        report.data(f"and {len(points) - limit:,} more, in nlm compare {report.shell_word(str(study.folder))}")
    for each in trials:
        if each.state == "failed":
            report.data(trial_line(each))
    if interrupted:
        left = sum(each.state in ("waiting", "running") for each in trials)
        report.data(f"interrupted; {left:,} of {report.number_of(len(trials), 'trial')} are left, for the same command to go on with")
    if path and not quiet:
        report.data(f"best options: {report.printable(str(path))}")
        report.data(f"next: nlm train --config {report.shell_word(str(path))}")


def table(space: Any, points: Sequence[Any]) -> list[str]:
    """The points as lines: loss, standard deviation over the seeds, and the options that vary."""
    from nlmcli.engine.sweep.space import short
    from nlmcli.options import long_name

    if not points:
        return []
    names = [name for name in space.varied if name != "seed"]
    seeds = len(space.seeds()) > 1
    head = (space.measure(), *(["sd", "seeds"] if seeds else []), *map(long_name, names), "trials")
    rows = []
    for point in points:
        states = {each.state for each in point.trials} - {"complete"}
        loss = f"{point.loss:.4f}" if point.losses else ", ".join(sorted(states))
        spread = ["" if point.deviation is None else f"{point.deviation:.4f}", str(len(point.losses))] if seeds else []
        numbers = ", ".join(str(each.number) for each in point.trials)
        rows.append((loss, *spread, *(report.printable(short(point.options[name])) for name in names), numbers))
    return report.columns([head, *rows], right=range(len(head) - 1))


def as_document(study: Any, space: Any, trials: Sequence[Any], best: Any, path: Path | None) -> dict[str, Any]:
    """The sweep as JSON."""
    from nlmcli.options import long_name

    def named(point: dict[str, Any]) -> dict[str, Any]:
        return {long_name(name): value for name, value in point.items()}

    rows = [vars(each) | {"options": named(each.options), "run": str(study.trial_folder(each.number))} for each in trials]
    best_row = (
        None if best is None else {"options": named(best.options), "loss": best.loss, "deviation": best.deviation, "config": str(path)}
    )
    return {"sweep": str(study.folder), "unit": space.measure(), "trials": rows, "best": best_row}


def show_forecast(space: Any, threads: int, jobs: int, json: bool, quiet: bool) -> None:
    """Print what the sweep will take."""
    from nlmcli.engine.sweep.forecast import forecast
    from nlmcli.options import long_name

    f = forecast(space, threads)
    wall = None if f.seconds is None else f.seconds / jobs
    if json:
        report.document(vars(f) | {"jobs": jobs, "threads": threads, "wall_seconds": wall})
        return
    varied = ", ".join(map(long_name, space.varied))
    report.data(f"{report.number_of(f.trials, 'trial')}, {space.method}; varied: {varied}")
    if f.seconds is not None and f.memory is not None and wall is not None:
        shared = f" by {jobs} processes" if jobs > 1 else ""
        timed = f"a step of {report.number_of(f.measured, 'trial')} was timed"
        report.data(f"about {report.duration(wall)}{shared}, without evaluations and pruning; {timed}")
        report.data(f"memory: up to {f.memory / 1e6:,.1f} MB a process for parameters and optimizer")
