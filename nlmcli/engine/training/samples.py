"""samples.jsonl: the text that a run sampled at each evaluation, a line of JSON each, so that one can watch them get better."""

import json
from pathlib import Path

from nlmcli.engine.run.atomic import write_atomically

NAME = "samples.jsonl"


def read_samples(folder: Path) -> list[tuple[int, str]]:
    """(step, text) of every evaluation; a truncated last line is skipped."""
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line)
            found.append((int(row["step"]), str(row["text"])))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def keep_until(folder: Path, step: int) -> None:
    """Remove the samples of later steps: a run that goes on from there writes them again."""
    samples = read_samples(folder)
    if any(at > step for at, _ in samples):
        text = "".join(line_of(at, sample) for at, sample in samples if at <= step)
        write_atomically(folder / NAME, lambda file: file.write(text.encode()))


def add_sample(folder: Path, step: int, text: str) -> None:
    with open(folder / NAME, "a", encoding="utf-8") as file:
        file.write(line_of(step, text))


def line_of(step: int, text: str) -> str:
    return json.dumps({"step": step, "text": text}) + "\n"
