"""Audit records, written to the kernel and read back from it.

The kernel's trail is off on most hosts without auditd: it is switched on for the length of a test and put back after.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from frontinus.linux import audit
from frontinus.linux.audit import NETLINK_AUDIT, LinuxAudit
from frontinus.linux.network.netlink import HEADER, Netlink
from frontinus.ports.audit import Audited

AUDIT_GET, AUDIT_SET = 1000, 1001
STATUS = struct.Struct("=10I")
"""struct audit_status: mask, enabled, failure, pid, rate limit, backlog limit, lost, backlog, features, wait time."""
ENABLED = 1
READ_LOG = 1
ADD_MEMBERSHIP = 1
SOL_NETLINK = 270
GUEST = Audited("a guest", "4dea22b3-1d52-d8f3-2516-782e98ab3fa0")


def enable(control: Netlink, on: int) -> None:
    control.request(AUDIT_SET, STATUS.pack(ENABLED, on, 0, 0, 0, 0, 0, 0, 0, 0))


@pytest.fixture
def reader() -> Iterator[socket.socket]:
    """A socket that hears every record, while the trail is on."""
    try:
        control = Netlink(NETLINK_AUDIT)
        before = STATUS.unpack_from(control.get(AUDIT_GET, b"").tobytes().ljust(STATUS.size, b"\0"))[1]
    except OSError as error:
        pytest.skip(f"this kernel has no audit trail for us: {error}")
    if before == 2:
        pytest.skip("the audit trail is locked")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as listening:
        listening.bind((0, 0))
        listening.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, READ_LOG)
        listening.settimeout(60)
        enable(control, 1)
        try:
            yield listening
        finally:
            enable(control, before)
            control.close()


def heard(reader: socket.socket, kind: int) -> str:
    """The text of the next record of a kind that this process wrote."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        data = reader.recv(16384)
        _, told, *_ = HEADER.unpack_from(data)
        text = data[HEADER.size :].rstrip(b"\0\n").decode()
        if told == kind and f"pid={os.getpid()} " in text:
            return text
    raise AssertionError(f"no record of type {kind}")


@pytest.mark.may_skip("a host may lock its audit trail, or a container hide it")
def test_records_are_read_back_as_they_were_written(reader: socket.socket) -> None:
    trail = LinuxAudit()
    assert trail.on
    trail.control(GUEST, "start", "booted", pid=4711)
    text = heard(reader, audit.VIRT_CONTROL)
    assert (
        "virt=kvm op=start reason=booted vm=61206775657374 uuid=4dea22b3-1d52-d8f3-2516-782e98ab3fa0 vm-pid=4711 "
        in text
    )
    assert "res=success" in text and f"uid={os.getuid()}" in text
    trail.resource(GUEST, "disk", "attach", None, "/a.img", success=False)
    text = heard(reader, audit.VIRT_RESOURCE)
    assert (
        "resrc=disk reason=attach vm=61206775657374" in text
        and 'old-disk="?" new-disk="/a.img"' in text
        and "res=failed" in text
    )
    trail.labels(GUEST, "dac", "+70000:+70000", "+70000:+70000")
    assert "vm-ctx=+70000:+70000 img-ctx=+70000:+70000 model=dac" in heard(reader, audit.VIRT_MACHINE_ID)
    trail.close()
    assert trail.lost == 0 and not trail.on
    trail.control(GUEST, "stop", "shutdown")


def test_who_may_not_write_is_not_stopped() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        try:
            trail = LinuxAudit()
            trail.control(GUEST, "start", "booted")
            trail._thread.shutdown()
            os.write(writing, f"{trail.on} {trail.lost}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "False 0"


def test_a_kernel_that_takes_nothing_costs_records_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    trail = LinuxAudit()
    monkeypatch.setattr(audit, "WAITING", 10)
    monkeypatch.setattr(trail._thread, "submit", lambda work: None)
    for _ in range(15):
        trail.control(GUEST, "start", "booted")
    assert trail.lost == (5 if trail.on else 0)
    trail.close()
