"""Run the commands of README.md in order, and replace the output recorded after each with the new one; renew the options' table.

    python tests/readme.py              all of it
    python tests/readme.py --table      the table alone

Lines "$ nlm ..." are run by a shell, lines ">>> ..." by one Python interpreter, all in the same temporary folder.
"""

import code
import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
INDENT, SHELL, PYTHON = "    ", "$ ", ">>> "


def rerun(lines: list[str]) -> Iterator[str]:
    """The lines, with new output after every command."""
    interpreter, skipping = code.InteractiveInterpreter(), False
    for k, line in enumerate(lines):
        inner = line.removeprefix(INDENT)
        if line.startswith(INDENT) and inner.startswith((SHELL, PYTHON)):
            yield line
            output = shell(inner.removeprefix(SHELL)) if inner.startswith(SHELL) else python(interpreter, inner.removeprefix(PYTHON))
            yield from ((INDENT + text).rstrip() for text in output)
            skipping = True
        elif skipping and (line.startswith(INDENT) or (not line and continues_output(lines[k:]))):
            continue
        else:
            skipping = False
            yield line


def continues_output(lines: list[str]) -> bool:
    """Whether an empty line is part of the output: the next non-empty line is indented and is not a command."""
    following = next((line for line in lines if line), "")
    return following.startswith(INDENT) and not following.removeprefix(INDENT).startswith((SHELL, PYTHON))


def shell(command: str) -> list[str]:
    """The lines that a command prints to stdout and stderr."""
    completed = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"{command}\n{completed.stdout}", flush=True)
    return completed.stdout.rstrip("\n").split("\n") if completed.stdout else []


def python(interpreter: code.InteractiveInterpreter, line: str) -> list[str]:
    """The lines that the interpreter prints after a statement."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        interpreter.runsource(line)
    print(f">>> {line}\n{out.getvalue()}", flush=True)
    return out.getvalue().rstrip("\n").split("\n") if out.getvalue() else []


HEAD = ["| option | default | |", "|---|---|---|"]  # of the table of options


def options_table() -> list[str]:
    """The rows of the table: every option of `nlm train` but the corpus, from the fields that define them."""
    from nlmcli.engine.run.settings import options
    from nlmcli.options import dashed

    found = [each for name, each in options().items() if name != "corpus"]
    rows = [f"| `{dashed(each.name)}` | {each.default_text()} | {each.description()} |" for each in found]
    return [row.replace("|  |", "| |").replace("<", r"\<") for row in rows]


def with_table(lines: list[str]) -> list[str]:
    """The lines, with the table of options as it is now."""
    start = lines.index(HEAD[0]) + len(HEAD)
    end = next(k for k in range(start, len(lines)) if not lines[k].startswith("|"))
    return lines[:start] + options_table() + lines[end:]


def main() -> None:
    lines = with_table(README.read_text(encoding="utf-8").split("\n"))
    if "--table" in sys.argv:
        README.write_text("\n".join(lines), encoding="utf-8")
        return
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        updated = "\n".join(rerun(lines))
        os.chdir(README.parent)
    README.write_text(updated, encoding="utf-8")


if __name__ == "__main__":
    main()
