from __future__ import annotations

import os
from pathlib import Path

import pytest

from frontinus.api.errors import HypervisorFailed, InvalidValue
from frontinus.domain.capabilities import Capabilities
from frontinus.qemu.caps import cache, probe, replies, transcript
from frontinus.qemu.caps.user import probe_user

QEMU = "/usr/bin/qemu-system-x86_64"


@pytest.fixture(scope="module")
def caps() -> Capabilities:
    return replies.from_sessions(transcript.read(probe.probe(QEMU, probe_user())), QEMU)


def test_real_probe(caps: Capabilities) -> None:
    assert caps.arch == "x86_64" and caps.tcg and caps.version >= (5, 2, 0)
    machine = caps.canonical_machine("q35")
    assert machine is not None and machine.name.startswith("pc-q35-") and machine.max_cpus >= 255
    assert {m.name for m in caps.cpu_models["tcg"]} >= {"qemu64", "max", "Nehalem"}
    assert caps.host_cpu["tcg"]["sse2"] is True
    assert caps.has_command("blockdev-add") and caps.has_schema("blockdev-add/arg-type/driver=qcow2/file/driver=file")
    assert "DEVICE_DELETED" in caps.events and caps.has_option("sandbox", "spawn")


def test_every_device_asked_for_is_one_somewhere(caps: Capabilities) -> None:
    """A name with a slip in it would be asked for in vain for ever."""
    unanswered = set(probe.DEVICES + probe.OBJECTS) - set(caps.properties)
    assert not unanswered & caps.types and len(unanswered) <= 2, unanswered


def test_probe_leaves_no_process(caps: Capabilities) -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{pid}/comm").read_text() for pid in children]
    assert not [n for n in names if n.startswith("qemu-system")]


def test_a_binary_is_probed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cache.recording(QEMU, tmp_path)

    def never(*_: object) -> bytes:
        raise AssertionError("it was probed again")

    monkeypatch.setattr("frontinus.qemu.caps.probe.probe", never)
    assert cache.recording(QEMU, tmp_path) == first
    assert replies.from_sessions(transcript.read(first), QEMU).has_command("query-status")


def test_no_emulator(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="does not exist"):
        probe.probe(str(tmp_path / "qemu"), None)


def test_something_else(tmp_path: Path) -> None:
    script = tmp_path / "qemu"
    script.write_text("#!/bin/sh\necho no such machine >&2; exit 1\n")
    script.chmod(0o755)
    with pytest.raises(HypervisorFailed) as caught:
        probe.probe(str(script), None)
    assert caught.value.details["log"] == "no such machine"
