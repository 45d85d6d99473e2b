"""`make run`'s program: shows a real guest at work, and leaves nothing behind however it is ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import traces

DEMO = Path(__file__).parents[2] / "tools/demo.py"
DEADLINE = 180.0  # seconds; an idle machine needs 15


def start(place: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(DEMO), *options],
        env={**os.environ, "TMPDIR": str(place)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def assert_nothing_is_left(place: Path) -> None:
    assert list(place.iterdir()) == []
    assert traces.left(str(place)) == {}
    assert traces.sockets(str(place)) == []


def at_work(lines: list[str]) -> bool:
    """Whether the guest is shown to use the CPU, to write and to receive."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    busy = [any(row[column] not in ("-", "0 B/s") for row in rows) for column in (5, 6)]
    return all(busy) and any(row[1] == "running" and int(row[2].removesuffix(" %")) > 0 for row in rows[1:])


def test_demo_shows_a_guest_at_work(place: Path) -> None:
    demo = start(place)
    assert demo.stdout is not None
    lines: list[str] = []
    for line in demo.stdout:
        lines += [line] if line.startswith("demo ") else []
        if at_work(lines):
            break
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=DEADLINE)
    assert demo.returncode == 0 and at_work(lines), rest
    assert_nothing_is_left(place)


def test_demo_ends_by_itself(place: Path) -> None:
    output, _ = start(place, "--seconds", "1").communicate(timeout=DEADLINE)
    assert "does not answer" not in output, output
    assert re.search(r"^Prometheus: curl http://127\.0\.0\.1:\d+/metrics$", output, re.MULTILINE), output
    assert re.search(r"^demo .*$", output, re.MULTILINE), output
    assert_nothing_is_left(place)


@pytest.mark.parametrize(
    ("moment", "number"), [("Starting frontinusd", signal.SIGINT), ("Waiting for its kernel", signal.SIGTERM)]
)
def test_a_signal_at_any_time_leaves_nothing(place: Path, moment: str, number: signal.Signals) -> None:
    demo = start(place)
    assert demo.stdout is not None
    for line in demo.stdout:
        if moment in line:
            break
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=DEADLINE)
    assert demo.returncode == 0, rest
    assert_nothing_is_left(place)
