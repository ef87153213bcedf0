"""Imports point one way. The table is the architecture's; a new arrow is a decision, made here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "smd"

STDLIB_ONLY: frozenset[str] = frozenset()
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    # package: (inside smd, third party)
    "errors": (set(), set()),
    "problems": ({"errors"}, set()),
    "files": (set(), set()),
    "codec": ({"errors"}, {"orjson"}),
    "catalogue": ({"errors"}, set()),
    "statechart": ({"catalogue", "errors"}, set()),
    "jobs": ({"errors"}, set()),
    "shell": ({"catalogue", "errors"}, set()),
    "yaml_source": ({"errors", "problems"}, {"yaml"}),
    "settings": ({"errors", "yaml_source", "problems", "files"}, {"pydantic"}),
    "log": (set(), {"structlog"}),
    "document": (
        {"catalogue", "statechart", "shell", "yaml_source", "problems", "codec", "files", "errors"},
        {"pydantic", "jsonschema", "referencing"},
    ),
    "store": ({"statechart", "jobs", "codec", "errors"}, {"aiosqlite"}),
    "actions": ({"catalogue", "statechart", "shell", "jobs", "store.base", "codec", "files", "errors"}, {"structlog"}),
    "runtime": (
        {"statechart", "document", "jobs", "store.base", "actions", "codec", "errors"},
        {"structlog", "jsonschema"},
    ),
    "http": (
        {"runtime", "statechart", "jobs", "codec", "errors"},
        {"starlette", "uvicorn", "httptools", "pydantic", "structlog"},
    ),
    "client": ({"errors"}, set()),
    "cli": ({"client", "errors", "document", "actions.loader", "yaml_source", "problems", "files"}, {"click"}),
    "daemon": ({"actions", "document", "statechart", "http", "runtime", "store", "settings", "errors"}, {"structlog"}),
    "main": ({"daemon", "document", "actions", "log", "problems", "settings", "errors"}, {"click"}),
}
"""`main` is the command line of `smd`; `codec` and `problems` are leaves that several rooms share."""

STDLIB = set(__import__("sys").stdlib_module_names)


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def package_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.update({node.module} | {f"{node.module}.{a.name}" for a in node.names if node.module == "smd"})
    return {name for name in found if name not in {"smd", "smd.__version__"}}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_table(path: Path) -> None:
    package = package_of(path)
    if package == "__init__":
        return
    inside, third = ALLOWED[package]
    for name in imports_of(path):
        head, *rest = name.split(".")
        if head == "smd":
            target = ".".join(rest)
            ok = rest[0] == package or any(target == a or target.startswith(a + ".") for a in inside)
            assert ok, f"{path.relative_to(ROOT)} imports {name}"
        elif head not in STDLIB:
            assert head in third, f"{path.relative_to(ROOT)} imports {name}"


def test_pure_rooms_have_no_clock_no_files_no_asyncio() -> None:
    for package in ("catalogue", "statechart", "jobs", "shell"):
        for path in (ROOT / package).rglob("*.py"):
            banned = imports_of(path) & {
                "asyncio",
                "time",
                "datetime",
                "pathlib",
                "os",
                "logging",
                "socket",
                "random",
                "uuid",
            }
            assert not banned, f"{path.relative_to(ROOT)} imports {banned}"


@pytest.mark.parametrize("folder", ["tests", "bench"])
def test_files_of_tests_stay_within_their_budget_too(folder: str) -> None:
    files = [path for path in (ROOT.parent / folder).rglob("*.py") if ".peer" not in path.parts]
    assert files
    assert [str(path) for path in files if path.read_text().count("\n") > 400] == []


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_within_their_budget(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 40, f"{node.name} has {length} lines"
            assert node.returns is not None, f"{node.name} has no return type"
