"""QEMU's events in the engine's words."""

from __future__ import annotations

import pytest

from frontinus.qemu.monitor.client import Event
from frontinus.qemu.news import ROWS, Translator, device_of

CLIENT = {"host": "10.0.0.5", "service": "5001", "family": "ipv4", "websocket": False}
SERVER = {"host": "0.0.0.0", "service": "5900", "family": "ipv4", "websocket": False, "auth": "vnc"}

SAMPLES: list[tuple[str, dict[str, object], str, dict[str, object]]] = [
    ("STOP", {}, "stopped", {}),
    ("RESUME", {}, "resumed", {}),
    ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}, "shutdown",
     {"detail": "guest", "reason": "guest-shutdown"}),
    ("SHUTDOWN", {"guest": False, "reason": "host-signal"}, "shutdown", {"detail": "host", "reason": "host-signal"}),
    ("RESET", {"guest": True, "reason": "guest-reset"}, "reset", {"detail": "guest", "reason": "guest-reset"}),
    ("POWERDOWN", {}, "powerdown", {}),
    ("SUSPEND", {}, "suspended", {}),
    ("SUSPEND_DISK", {}, "suspended-disk", {}),
    ("WAKEUP", {}, "woken", {}),
    ("GUEST_PANICKED", {"action": "pause"}, "crashed", {"action": "pause"}),
    ("WATCHDOG", {"action": "reset"}, "watchdog", {"action": "reset"}),
    ("BALLOON_CHANGE", {"actual": 1 << 30}, "balloon", {"actual": 1 << 30}),
    ("RTC_CHANGE", {"offset": -3600, "qom-path": "/x"}, "rtc", {"offset": -3600}),
    ("DEVICE_DELETED", {"device": "net0", "path": "/machine/peripheral/net0"}, "device-deleted", {"device": "net0"}),
    ("DEVICE_UNPLUG_GUEST_ERROR", {"device": "net0", "path": "/machine/peripheral/net0"}, "unplug-failed",
     {"device": "net0"}),
    ("MEM_UNPLUG_ERROR", {"device": "dimm0", "msg": "no"}, "unplug-failed", {"device": "dimm0"}),
    ("ACPI_DEVICE_OST", {"info": {"device": "dimm0", "source": 3, "status": 130, "slot": "0", "slot-type": "DIMM"}},
     "unplug-failed", {"device": "dimm0"}),
    ("DEVICE_TRAY_MOVED", {"device": "", "id": "/machine/peripheral/sata0-0-1", "tray-open": True}, "tray",
     {"device": "sata0-0-1", "open": True}),
    ("VSERPORT_CHANGE", {"id": "channel0", "open": True}, "agent", {"device": "channel0", "open": True}),
    ("VSERPORT_CHANGE", {"id": "channel1", "open": False}, "channel", {"device": "channel1", "open": False}),
    ("VNC_CONNECTED", {"client": CLIENT, "server": SERVER}, "graphics", {
        "protocol": "vnc", "phase": "connect", "host": "10.0.0.5", "service": "5001", "family": "ipv4", "auth": "vnc",
        "local_host": "0.0.0.0", "local_service": "5900", "subject": ""}),
    ("SPICE_INITIALIZED", {"client": {"host": "a", "port": "7", "family": "ipv4"}, "server": {"auth": "spice"}},
     "graphics", {"protocol": "spice", "phase": "initialize", "host": "a", "service": "7", "family": "ipv4",
                  "auth": "spice", "local_host": "", "local_service": "", "subject": ""}),
    ("BLOCK_IO_ERROR", {"device": "", "node-name": "node1", "operation": "write", "action": "stop", "nospace": True,
                        "reason": "No space left on device"}, "io-error", {
        "device": "virtio-disk0", "node": "node1", "path": "", "operation": "write", "action": "pause",
        "reason": "enospc", "message": "No space left on device"}),
    ("BLOCK_JOB_COMPLETED", {"type": "mirror", "device": "node1", "len": 1, "offset": 1, "speed": 0}, "block-job", {
        "device": "virtio-disk0", "job": "node1", "kind": "mirror", "status": "completed", "error": ""}),
    ("BLOCK_JOB_COMPLETED", {"type": "commit", "device": "job7", "error": "EIO"}, "block-job", {
        "device": "job7", "job": "job7", "kind": "commit", "status": "failed", "error": "EIO"}),
    ("BLOCK_JOB_READY", {"type": "mirror", "device": "job7"}, "block-job", {
        "device": "job7", "job": "job7", "kind": "mirror", "status": "ready", "error": ""}),
    ("JOB_STATUS_CHANGE", {"id": "job7", "status": "running"}, "job", {"id": "job7", "status": "running"}),
    ("MIGRATION", {"status": "active"}, "migration", {"status": "active"}),
    ("MEMORY_FAILURE", {"recipient": "guest", "action": "inject", "flags": {"recursive": False}}, "memory-failure",
     {"recipient": "guest", "action": "inject", "flags": {"recursive": False}}),
    ("NIC_RX_FILTER_CHANGED", {"name": "net0", "path": "/machine/peripheral/net0/virtio-backend"}, "nic-filter",
     {"device": "net0"}),
    ("BLOCK_WRITE_THRESHOLD", {"node-name": "frontinus-3-storage", "amount-exceeded": 5, "write-threshold": 9},
     "write-threshold", {"layer": 3, "excess": 5, "threshold": 9}),
]  # fmt: skip


@pytest.mark.parametrize(("event", "data", "name", "told"), SAMPLES)
def test_news(event: str, data: dict[str, object], name: str, told: dict[str, object]) -> None:
    translator = Translator("channel0")
    translator.nodes["node1"] = "virtio-disk0"
    fact = translator.news(Event(event, data, 12.5))
    assert fact is not None and (fact.name, dict(fact.data), fact.seconds) == (name, told, 12.5)


def test_what_means_nothing() -> None:
    translator = Translator(None)
    assert translator.news(Event("NETDEV_STREAM_CONNECTED", {}, 0)) is None
    part = {"path": "/machine/peripheral/net0/virtio-backend"}  # half of a device; the other half has the name
    assert translator.news(Event("DEVICE_DELETED", part, 0)) is None


def test_every_row_survives_an_event_without_members() -> None:
    translator = Translator("channel0")
    for name in sorted(set(ROWS) - {"VSERPORT_CHANGE"}):
        translator.news(Event(name, {}, 0))


@pytest.mark.parametrize(
    ("path", "device"),
    [("/machine/peripheral/a/virtio-backend", "a"), ("/machine/peripheral/a", "a"), ("a", "a"), ("", ""),
     ("/machine/unattached/device[3]", "/machine/unattached/device[3]")],
)  # fmt: skip
def test_device_of(path: str, device: str) -> None:
    assert device_of(path) == device


@pytest.mark.parametrize(
    "info",
    [{"device": "dimm0", "source": 1, "status": 0}, {"device": "dimm0", "source": 3, "status": 0},
     {"device": "dimm0", "source": 259, "status": 132}, {"source": 3, "status": 130}],
)  # fmt: skip
def test_what_acpi_says_of_ejecting_that_is_no_refusal(info: dict[str, object]) -> None:
    assert Translator(None).news(Event("ACPI_DEVICE_OST", {"info": info}, 0.0)) is None
