"""Contracts of the code itself: layers, size, what is asked of QEMU instead of assumed, no shell."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(path for folder in ("core", "adapters") for path in (ROOT / folder).rglob("*.py"))
MAX_LINES = 430


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CODE, ids=names)
def test_a_file_has_one_subject(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_no_unit_test_imports_another() -> None:
    """What they share is in tests/support, where its types are checked."""
    for path in (ROOT / "tests/unit").rglob("*.py"):
        imported = [node.module or "" for node in ast.walk(parsed(path)) if isinstance(node, ast.ImportFrom)]
        assert not [module for module in imported if module.startswith("unit.")], names(path)


def version_comparisons(tree: ast.Module) -> Iterator[int]:
    """Lines that compare a `version` with a number or a tuple of numbers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            named = any(isinstance(s, (ast.Name, ast.Attribute)) and _last(s).endswith("version") for s in sides)
            if named and any(_is_number(side) for side in sides):
                yield node.lineno


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple):
        return bool(node.elts) and all(_is_number(element) for element in node.elts)
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


CHOOSING = [p for p in CODE if names(p).startswith(("core/frontinus/qemu/", "core/frontinus/domain/"))]


@pytest.mark.parametrize("path", CHOOSING, ids=names)
def test_the_release_is_never_asked_for(path: Path) -> None:
    assert not list(version_comparisons(parsed(path)))


@pytest.mark.parametrize("source", ["if caps.version >= (7, 2, 0): pass", "x = version < 5", "a = (4, 2) <= q.version"])
def test_a_version_test_would_be_found(source: str) -> None:
    assert list(version_comparisons(ast.parse(source)))


def shell_uses(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("os.system", "os.popen", "asyncio.create_subprocess_shell", "subprocess.getoutput"):
                yield node.lineno
            if any(k.arg == "shell" and ast.unparse(k.value) == "True" for k in node.keywords):
                yield node.lineno


@pytest.mark.parametrize("path", CODE, ids=names)
def test_no_shell(path: Path) -> None:
    assert not list(shell_uses(parsed(path)))


PLANS = [p for p in CODE if p.stem in ("plan", "complete", "prepare", "validate", "implicit", "aliases")
         or any(folder in names(p) for folder in ("/addresses/", "/xml/", "/qemu/argv/"))]  # fmt: skip
WORLD = frozenset({"asyncio", "os", "subprocess", "socket", "pathlib", "shutil"})


@pytest.mark.parametrize("path", PLANS, ids=names)
def test_a_plan_does_nothing(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not all(alias.name.startswith("Pure") for alias in node.names):
            imported.append(node.module or "")  # a path that is never looked at is a plan too
        assert not {name.partition(".")[0] for name in imported} & WORLD, names(path)


def test_layers() -> None:
    program = shutil.which("lint-imports") or str(Path(sys.executable).parent / "lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_product_never_imports_libvirt() -> None:
    pattern = re.compile(r"^\s*(import|from)\s+libvirt\b", re.MULTILINE)
    assert not [names(path) for path in CODE if pattern.search(path.read_text())]
