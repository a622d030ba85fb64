"""The architecture: lower layers never import higher ones, one file sets the jit flags, only the top layer prints."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nlmcli

PACKAGE = Path(nlmcli.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
LAYERS = {
    "__main__.py": 8, "cli": 7, "engine": 6, "heads": 5, "models": 4, "optim": 4, "text": 4, "nn": 3,
    "kernel_cache.py": 2, "options.py": 2, "registry.py": 1, "errors.py": 0,
}  # fmt: skip
ENGINE_LAYERS = {
    "api.py": 7,
    "viewing": 6,
    "sweep": 5,
    "training": 4,
    "scoring": 3,
    "writing": 3,
    "checking": 3,
    "exchange": 3,
    "gradient": 2,
    "reading": 1,
    "run": 0,
}
BELOW_CLI = tuple(layer for layer in LAYERS if layer not in ("cli", "__main__.py"))


def layer_of(file):
    return file.split("/")[0]


def syntax_tree(file):
    return ast.parse(FILES[file].read_text(encoding="utf-8"))


def imports_of(file):
    """The full names of everything a file imports, also inside functions."""
    for node in ast.walk(syntax_tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES)
def test_layers_import_only_lower_layers(file):
    """cli > engine > heads > models, optim, text > nn > shared modules; models, optim and text never import each other."""
    if (layer := layer_of(file)) == "__init__.py":
        assert all(name.startswith(("nlmcli.", "typing.")) for name in imports_of(file))  # the Python API
        return
    for name in imports_of(file):
        if name.startswith("nlmcli."):
            imported = name.split(".")[1]
            imported = f"{imported}.py" if f"{imported}.py" in LAYERS else imported
            allowed = imported == layer or imported == "__version__" or LAYERS[imported] < LAYERS[layer]
            assert allowed, f"{file} imports {name}"


@pytest.mark.parametrize("file", [file for file in FILES if layer_of(file) == "engine" and file != "engine/__init__.py"])
def test_engine_layers_import_only_lower_layers(file):
    """Every file of the engine except api.py belongs to a subpackage, which imports itself and lower ones only."""
    layer = file.split("/")[1]
    assert layer in ENGINE_LAYERS
    for name in imports_of(file):
        if name.startswith("nlmcli.engine."):
            imported = name.split(".")[2]
            assert imported == layer or ENGINE_LAYERS[imported] < ENGINE_LAYERS[layer], f"{file} imports {name}"


@pytest.mark.parametrize("file", [file for file in FILES if layer_of(file) in BELOW_CLI])
def test_only_the_cli_prints_and_prompts(file):
    packages = {name.split(".")[0] for name in imports_of(file)}
    assert not packages & {"typer", "click", "rich", "logging"}
    calls = [node for node in ast.walk(syntax_tree(file)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"print", "input"}]
    streams = [node.lineno for node in ast.walk(syntax_tree(file)) if isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}]
    assert not streams


@pytest.mark.parametrize("file", FILES)
def test_jit_flags_are_set_in_one_file(file):
    if file == "nn/kernel.py":
        return
    decorators = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc", "generated_jit"}
    names = {ast.unparse(node).removeprefix("numba.") for node in ast.walk(syntax_tree(file)) if isinstance(node, ast.Attribute)}
    names |= {name.split(".")[-1] for name in imports_of(file) if name.startswith("numba")}
    assert not names & decorators
    flags = {keyword.arg for node in ast.walk(syntax_tree(file)) if isinstance(node, ast.Call) for keyword in node.keywords}
    assert not flags & {"fastmath", "nogil", "nopython"}


def test_numerical_code_opens_no_files():
    for file in FILES:
        if layer_of(file) in {"nn", "models", "optim"}:
            calls = {node.func.id for node in ast.walk(syntax_tree(file)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
            assert "open" not in calls, file


def test_help_imports_neither_numpy_nor_numba():
    code = "import sys; from nlmcli.cli.app import main; main(['--help']); print(sorted({'numpy', 'numba', 'yaml'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert process.stdout.splitlines()[-1] == "[]", process.stderr
