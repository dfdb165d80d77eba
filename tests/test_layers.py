"""Imports go one way; `import tastemaker` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A part may import parts with a smaller number only (and itself). The CLI sits above all.
LEVELS = {"core": 0, "prompts": 1, "index": 1, "finetune": 2, "agent": 3, "eval": 4, "cli": 5}
FOLDERS = ("tastemaker", "prompts", "index", "finetune", "agent", "eval")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def part_of_file(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    if parts[0] == "tastemaker":
        return "core"
    return "cli" if parts[:2] == ("agent", "cli") else parts[0]


def part_of_module(name: str) -> str:
    parts = name.split(".")
    if len(parts) > 2 and parts[1:3] == ["agent", "cli"]:
        return "cli"
    return parts[1] if len(parts) > 1 and parts[1] in LEVELS else "core"


def imported(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] == "tastemaker"]


def test_there_are_modules_to_check() -> None:
    assert {part_of_file(path) for path in MODULES} == set(LEVELS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    own = part_of_file(path)
    # The public face names its parts lazily, the command starts the CLI, and the fakes may build any value.
    if path.relative_to(ROOT).as_posix() in ("tastemaker/__init__.py", "tastemaker/__main__.py"):
        return
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        other = part_of_module(name)
        allowed = other == own or LEVELS[other] < LEVELS[own]
        assert allowed, f"{own} imports {name}, which is above or beside it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_are_readable_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'faiss', 'pyarrow', 'langchain'}"
    code = f"import sys, tastemaker; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
