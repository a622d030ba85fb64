"""How the house is built: imports point down, one place has the jit flags, one floor prints."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nlmcli

PACKAGE = Path(nlmcli.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
FLOORS = {
    "__main__.py": 7, "cli": 6, "engine": 5, "models": 4, "optim": 4, "text": 4, "nn": 3,
    "kernel_cache.py": 2, "options.py": 2, "registry.py": 1, "errors.py": 0,
}  # fmt: skip
WINGS = {"api.py": 6, "viewing": 5, "training": 4, "scoring": 3, "writing": 3, "checking": 3, "gradient": 2, "reading": 1, "run": 0}
BELOW = tuple(floor for floor in FLOORS if floor not in ("cli", "__main__.py"))


def floor_of(file):
    return file.split("/")[0]


def tree_of(file):
    return ast.parse(FILES[file].read_text(encoding="utf-8"))


def imports_of(file):
    """The full names of all that a file imports, inside functions too."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES)
def test_imports_point_down(file):
    """cli > engine > models, optim, text > nn > what all use; models, optim and text know nothing of each other."""
    if (here := floor_of(file)) == "__init__.py":
        assert all(name.startswith(("nlmcli.", "typing.")) for name in imports_of(file))  # the names of nlm from Python
        return
    for name in imports_of(file):
        if name.startswith("nlmcli."):
            there = name.split(".")[1]
            there = f"{there}.py" if f"{there}.py" in FLOORS else there
            allowed = there == here or there == "__version__" or FLOORS[there] < FLOORS[here]
            assert allowed, f"{file} imports {name}"


@pytest.mark.parametrize("file", [file for file in FILES if floor_of(file) == "engine" and file != "engine/__init__.py"])
def test_the_wings_of_the_engine_import_down(file):
    """Every file of the engine but api.py lies in a wing, and imports from its own or from lower ones."""
    here = file.split("/")[1]
    assert here in WINGS
    for name in imports_of(file):
        if name.startswith("nlmcli.engine."):
            there = name.split(".")[2]
            assert there == here or WINGS[there] < WINGS[here], f"{file} imports {name}"


@pytest.mark.parametrize("file", [file for file in FILES if floor_of(file) in BELOW])
def test_only_the_top_floor_talks_to_the_user(file):
    outside = {name.split(".")[0] for name in imports_of(file)}
    assert not outside & {"typer", "click", "rich", "logging"}
    calls = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"print", "input"}]
    written = [node.lineno for node in ast.walk(tree_of(file)) if isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}]
    assert not written


@pytest.mark.parametrize("file", FILES)
def test_jit_flags_stand_in_one_file(file):
    if file == "nn/kernel.py":
        return
    decorators = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc", "generated_jit"}
    names = {ast.unparse(node).removeprefix("numba.") for node in ast.walk(tree_of(file)) if isinstance(node, ast.Attribute)}
    names |= {name.split(".")[-1] for name in imports_of(file) if name.startswith("numba")}
    assert not names & decorators
    flags = {keyword.arg for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call) for keyword in node.keywords}
    assert not flags & {"fastmath", "nogil", "nopython"}


def test_mathematics_does_no_input_or_output():
    for file in FILES:
        if floor_of(file) in {"nn", "models", "optim"}:
            calls = {node.func.id for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
            assert "open" not in calls, file


def test_help_needs_neither_numpy_nor_numba():
    code = "import sys; from nlmcli.cli.app import main; main(['--help']); print(sorted({'numpy', 'numba', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
