"""The shape of the house: sizes, forbidden calls, who may import what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchflow import failpoints

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "batchflow"
FILES = sorted(PACKAGE.rglob("*.py"))
FUNCTION_LINES, FILE_LINES = 40, 400
# name -> reason; a function listed here must still be too long, or it goes
LONG_FUNCTIONS: dict[str, str] = {}

ONLY_IN = {
    "openai": {"providers/openai.py"},
    "duckdb": {"sources/", "sinks/"},
    "typer": {"cli/"},
    "rich": {"cli/"},
}
# what a module may not call outside the one that is responsible for it
TIME = {"time", "monotonic", "sleep", "now", "utcnow", "today", "perf_counter"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_sizes(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES
    for function in functions(tree_of(path)):
        first = function.decorator_list[0].lineno if function.decorator_list else function.lineno
        lines = (function.end_lineno or first) - first + 1
        name = f"{name_of(path)}:{function.name}"
        assert (lines > FUNCTION_LINES) == (name in LONG_FUNCTIONS), f"{name} has {lines} lines"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), f"{name_of(path)} has no docstring"


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    for library in imports(tree_of(path)):
        rooms = ONLY_IN.get(library)
        assert rooms is None or any(name_of(path).startswith(room) for room in rooms), f"{library} in {name_of(path)}"


def called(tree: ast.Module) -> Iterator[tuple[str, str, ast.Call]]:
    """(what it is called on, name, call) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                owner = node.func.value
                yield (owner.id if isinstance(owner, ast.Name) else ""), node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield "", node.func.id, node


def writes(name: str, call: ast.Call) -> bool:
    if name in {"write_text", "write_bytes"}:
        return True
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [arg.value for arg in given if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return name == "open" and any(set(mode) & set("wax+") and set(mode) <= set("rwaxbt+") for mode in modes)


@pytest.mark.parametrize("path", [path for path in FILES if name_of(path) != "files.py"], ids=name_of)
def test_only_files_opens_a_file_for_writing(path: Path) -> None:
    found = [f"line {call.lineno}" for _, name, call in called(tree_of(path)) if writes(name, call)]
    assert not found


@pytest.mark.parametrize("path", [path for path in FILES if name_of(path) != "clock.py"], ids=name_of)
def test_only_clock_knows_time(path: Path) -> None:
    assert "time" not in set(imports(tree_of(path)))
    found = [
        f"line {call.lineno}" for owner, name, call in called(tree_of(path)) if owner == "datetime" and name in TIME
    ]
    assert not found


@pytest.mark.parametrize("path", [path for path in FILES if not name_of(path).startswith("cli/")], ids=name_of)
def test_nobody_prints(path: Path) -> None:
    assert not [call.lineno for owner, name, call in called(tree_of(path)) if name == "print" and not owner]


# who may hold a standard stream; the others show through cli/render.py, which escapes what a terminal would obey
STREAMS = {
    "cli/render.py": "it is the way",
    "cli/app.py": "opens closed streams, flushes them, says a constant on Windows",
    "server/__main__.py": "says its error, escaped, where it has no cli",
}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_render_writes_to_a_terminal(path: Path) -> None:
    found = [
        f"line {node.lineno}: {node.value.attr}.{node.attr}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr in {"stdout", "stderr"}
        and isinstance(node.value.value, ast.Name)
        and node.value.value.id == "sys"
        and node.attr != "isatty"
    ]
    found += [
        f"line {call.lineno}: {name}"
        for _, name, call in called(tree_of(path))
        if name in {"echo", "secho"} or (name == "print" and isinstance(call.func, ast.Name))
    ]
    assert bool(found) == (name_of(path) in STREAMS), found


def test_every_failpoint_is_passed_somewhere_and_every_passing_is_registered() -> None:
    passed: set[str] = set()
    for path in FILES:
        for _, name, call in called(tree_of(path)):
            if name in {"hit", "armed"} and call.args and isinstance(call.args[0], ast.Constant):
                passed.add(str(call.args[0].value))
    assert passed == set(failpoints.NAMES)


def test_no_address_of_a_registry_and_no_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    forbidden = ["pypi" + ".org", "python" + "hosted", "registry.npm" + "js", "/work" + "/main", "/root" + "/."]
    for name in filter(None, listed):
        content = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        assert not [word for word in forbidden if word in content], name


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['batchflow', '--help']\n"
        "from batchflow.cli.program import program\n"
        "try: program()()\nexcept SystemExit: pass\n"
        "heavy = {'openai', 'duckdb', 'batchflow.spec.model', 'starlette', 'uvicorn', 'jinja2', 'httpx2', 'rich'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stderr == ""
