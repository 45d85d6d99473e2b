"""What all tests share: golden files, and skipping what this machine cannot run.

A test says what it needs with @pytest.mark.needs("root", "snmpwalk", ...): "root", "mounts" (of its own) or programs.
Tests under system/, faults/ and lab/ need root and QEMU without saying so. With FRONTINUS_REQUIRE_SYSTEM=1 a test skipped
outside unit/ has failed, unless marked @pytest.mark.may_skip("reason").
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("frontinus", deadline=None)  # a loaded machine is slow at any moment
hypothesis.settings.load_profile("frontinus")

TESTS = Path(__file__).parent
GOLDEN = TESTS / "unit/golden"
GUEST = ("root", "qemu-system-x86_64")
IMPLIED = {"system": GUEST, "faults": GUEST, "lab": GUEST, "protocols": ()}
REQUIRED = os.environ.get("FRONTINUS_REQUIRE_SYSTEM") == "1"

Golden = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing with them"
    )


def pytest_configure(config: pytest.Config) -> None:
    os.umask(0o022)  # guests' users read what tests write
    keep_bytecode()
    config.addinivalue_line("markers", "needs(*what): skip without root or mounts (the words) or these programs")
    config.addinivalue_line("markers", "may_skip(reason): may be skipped even where system tests are required")
    if config.getoption("--update-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--update-golden is refused where CI is set: golden files are compared there")


def keep_bytecode() -> None:
    """Programs that tests start compile our modules once, as they are where pip installed them: half a second a daemon."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(TESTS.parent / ".cache/bytecode")


# --- golden files


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """golden(name, text) compares text with tests/unit/golden/NAME; a missing file fails."""
    update = request.config.getoption("--update-golden")

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists():
            pytest.fail(f"there is no golden file {path}; write it with `make golden` and read it")
        else:
            assert text == path.read_text(), f"differs from {path}"

    return compare


# --- what this machine cannot run


def area(path: Path) -> str:
    """The folder of tests/ that a test is in."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


def lacking(what: str) -> bool:
    if what == "root":
        return os.geteuid() != 0
    return not _mounts() if what == "mounts" else shutil.which(what) is None


@functools.cache
def _mounts() -> bool:
    """Whether a process may have mounts of its own: not in a chroot, whose root is no mount point."""
    done = subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    needs = [*IMPLIED.get(area(item.path), ()), *(what for mark in item.iter_markers("needs") for what in mark.args)]
    if missing := [what for what in needs if lacking(what)]:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:
    """A test that changes the umask for those after it has failed: their guests cannot read their images then."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    after = os.umask(before)
    assert after == before, f"the test left the umask {after:03o}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail") and item.get_closest_marker("may_skip") is None:
        _refuse_skip(report, item.path)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report, collector.path)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport, path: Path) -> None:
    """Turn a skip into a failure where system tests are required."""
    if REQUIRED and report.skipped and area(path) in IMPLIED:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason} (and FRONTINUS_REQUIRE_SYSTEM=1 allows no skip here)"
