"""Run every command that README.md shows with its output, in order, and put down what it prints now.

    python tests/readme.py

A line "$ nlm ..." is run by a shell in an empty folder, the same for all; a line ">>> ..." by one Python interpreter there.
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
            shown = shell(inner.removeprefix(SHELL)) if inner.startswith(SHELL) else python(interpreter, inner.removeprefix(PYTHON))
            yield from ((INDENT + text).rstrip() for text in shown)
            skipping = True
        elif skipping and (line.startswith(INDENT) or (not line and goes_on(lines[k:]))):
            continue
        else:
            skipping = False
            yield line


def goes_on(lines: list[str]) -> bool:
    """Whether an empty line stands within output: the next that is not empty is indented, and no command."""
    following = next((line for line in lines if line), "")
    return following.startswith(INDENT) and not following.removeprefix(INDENT).startswith((SHELL, PYTHON))


def shell(command: str) -> list[str]:
    """What a command prints on either stream."""
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"{command}\n{done.stdout}", flush=True)
    return done.stdout.rstrip("\n").split("\n") if done.stdout else []


def python(interpreter: code.InteractiveInterpreter, line: str) -> list[str]:
    """What an interpreter prints after a line."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        interpreter.runsource(line)
    print(f">>> {line}\n{out.getvalue()}", flush=True)
    return out.getvalue().rstrip("\n").split("\n") if out.getvalue() else []


def main() -> None:
    lines = README.read_text(encoding="utf-8").split("\n")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as room:
        os.chdir(room)
        fresh = "\n".join(rerun(lines))
        os.chdir(README.parent)
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
