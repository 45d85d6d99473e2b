"""The test harness keeps its promises: no silent skip, no golden file out of nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[2] / "conftest.py"


def run_pytest(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_bytes(CONFTEST.read_bytes())
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "FRONTINUS_REQUIRE_SYSTEM")}
    argv = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *options]
    return subprocess.run(
        argv,
        cwd=folder,
        env=clean | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    for folder in ("unit", "protocols"):
        (tmp_path / folder).mkdir()
    return tmp_path


SKIPPED = "import pytest\n@pytest.mark.needs('no-such-program')\ndef test_it(): assert False\n"


def test_skip_names_what_is_missing(tests: Path) -> None:
    (tests / "protocols/test_it.py").write_text(SKIPPED)
    done = run_pytest(tests)
    assert done.returncode == 0
    assert "needs no-such-program" in done.stdout


@pytest.mark.parametrize(
    ("folder", "text", "code"),
    [
        ("protocols", SKIPPED, 1),
        ("protocols", "import pytest\npytest.skip('the whole file', allow_module_level=True)\n", 2),
        ("protocols", SKIPPED.replace("@", "@pytest.mark.may_skip('rare')\n@", 1), 0),
        ("unit", SKIPPED, 0),
    ],
)
def test_required_system_tests_may_not_skip(tests: Path, folder: str, text: str, code: int) -> None:
    (tests / folder / "test_it.py").write_text(text)
    assert run_pytest(tests, FRONTINUS_REQUIRE_SYSTEM="1").returncode == code


def test_golden_files(tests: Path) -> None:
    (tests / "unit/test_it.py").write_text("def test_it(golden): golden('a/b.txt', 'one\\n')\n")
    assert run_pytest(tests).returncode == 1, "a missing golden file must fail"
    assert run_pytest(tests, "--update-golden", CI="true").returncode == 4, "CI must not write golden files"
    assert not (tests / "unit/golden").exists()
    assert run_pytest(tests, "--update-golden").returncode == 0
    assert run_pytest(tests).returncode == 0
    (tests / "unit/golden/a/b.txt").write_text("two\n")
    assert run_pytest(tests).returncode == 1, "a difference must fail"
