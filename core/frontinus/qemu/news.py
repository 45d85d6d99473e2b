"""QEMU's events in the engine's words: one row an event. Source of names and members: QEMU's qapi schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from frontinus.ports.hypervisor import GuestFacts
from frontinus.qemu.blocks import layer_of
from frontinus.qemu.monitor.client import Event

Data = Mapping[str, object]
IO_ACTIONS: Mapping[str, str] = {"ignore": "none", "stop": "pause", "report": "report"}
BLOCK_JOBS: Mapping[str, str] = {"BLOCK_JOB_COMPLETED": "completed", "BLOCK_JOB_CANCELLED": "cancelled",
                                 "BLOCK_JOB_READY": "ready", "BLOCK_JOB_ERROR": "error",
                                 "BLOCK_JOB_PENDING": "pending"}  # fmt: skip
PHASES: Mapping[str, str] = {"CONNECTED": "connect", "INITIALIZED": "initialize", "DISCONNECTED": "disconnect"}


class Translator:
    """Turns events into news. It knows which device a block node belongs to, and which port is the guest agent's."""

    def __init__(self, agent_device: str | None) -> None:
        self.agent_device = agent_device
        self.nodes: dict[str, str] = {}
        """Device alias by node name."""

    def news(self, event: Event) -> GuestFacts | None:
        """The news that an event is; None for one that means nothing to the engine."""
        row = ROWS.get(event.name)
        if row is None:
            return None
        name, make = row
        data = make(self, event.name, event.data)
        if data is None:
            return None
        if name == "port":
            name = "agent" if data["device"] == self.agent_device else "channel"
        return GuestFacts(name, data, event.seconds)


Make = Callable[[Translator, str, Data], dict[str, object] | None]


def _nothing(t: Translator, name: str, data: Data) -> dict[str, object]:
    return {}


def _members(*names: str, **renamed: str) -> Make:
    """Take members as they are, or `ours="theirs"`; what is absent stays absent."""
    wanted = {name: name for name in names} | renamed

    def make(t: Translator, name: str, data: Data) -> dict[str, object]:
        return {ours: data[theirs] for ours, theirs in wanted.items() if theirs in data}

    return make


def _ending(t: Translator, name: str, data: Data) -> dict[str, object]:
    return {"detail": "guest" if data.get("guest") else "host", "reason": data.get("reason", "")}


def _named_device(t: Translator, name: str, data: Data) -> dict[str, object] | None:
    """Devices without a name of ours are parts of others."""
    return {"device": data["device"]} if data.get("device") else None


EJECT = frozenset({0x3, 0x103})
"""Sources of _OST: the guest answers to a request to eject (ACPI 6.5, 6.3.5)."""
NOT_REFUSED = frozenset({0x0, 0x84})
"""Statuses of _OST that are no refusal: ejected, ejection in progress."""


def refused_eject(data: Data) -> str | None:
    """The device that an ACPI_DEVICE_OST says the guest keeps; None where it says something else."""
    info = _object(data.get("info"))
    refused = info.get("source") in EJECT and info.get("status") not in NOT_REFUSED
    return str(info.get("device") or "") or None if refused else None


def _ost(t: Translator, name: str, data: Data) -> dict[str, object] | None:
    device = refused_eject(data)
    return {"device": device} if device else None


def _io_error(t: Translator, name: str, data: Data) -> dict[str, object]:
    node = str(data.get("node-name", ""))
    device = t.nodes.get(node) or device_of(str(data.get("qom-path") or data.get("device") or ""))
    return {
        "device": device, "node": node, "path": "", "operation": data.get("operation", ""),
        "action": IO_ACTIONS.get(str(data.get("action")), "none"), "reason": "enospc" if data.get("nospace") else "",
        "message": data.get("reason", ""),
    }  # fmt: skip


def _tray(t: Translator, name: str, data: Data) -> dict[str, object]:
    return {"device": device_of(str(data.get("id") or "")), "open": bool(data.get("tray-open"))}


def _graphics(t: Translator, name: str, data: Data) -> dict[str, object]:
    protocol, _, phase = name.partition("_")
    client, server = _object(data.get("client")), _object(data.get("server"))
    return {
        "protocol": protocol.lower(), "phase": PHASES[phase], "host": client.get("host", ""),
        "service": str(client.get("service") or client.get("port") or ""), "family": client.get("family", ""),
        "auth": server.get("auth", ""), "local_host": server.get("host", ""),
        "local_service": str(server.get("service") or server.get("port") or ""),
        "subject": client.get("x509_dname") or client.get("sasl_username") or "",
    }  # fmt: skip


def _block_job(t: Translator, name: str, data: Data) -> dict[str, object]:
    status = BLOCK_JOBS[name]
    if status == "completed" and data.get("error"):
        status = "failed"
    job = str(data.get("device") or data.get("id") or "")
    return {"device": t.nodes.get(job, job), "job": job, "kind": data.get("type", ""), "status": status,
            "error": data.get("error", "")}  # fmt: skip


def _threshold(t: Translator, name: str, data: Data) -> dict[str, object] | None:
    """Of layers of ours; nobody else sets one."""
    layer = layer_of(str(data.get("node-name", "")))
    if layer is None:
        return None
    return {"layer": layer, "excess": data.get("amount-exceeded", 0), "threshold": data.get("write-threshold", 0)}


def _object(value: object) -> Data:
    return value if isinstance(value, Mapping) else {}


def device_of(path: str) -> str:
    """The alias in a QOM path or in what QEMU gives in its place: /machine/peripheral/disk0/virtio-backend is disk0."""
    return (
        path.removeprefix("/machine/peripheral/").partition("/")[0] if path.startswith("/machine/peripheral/") else path
    )


ROWS: Mapping[str, tuple[str, Make]] = {
    "STOP": ("stopped", _nothing),
    "RESUME": ("resumed", _nothing),
    "POWERDOWN": ("powerdown", _nothing),
    "RESET": ("reset", _ending),
    "SHUTDOWN": ("shutdown", _ending),
    "SUSPEND": ("suspended", _nothing),
    "SUSPEND_DISK": ("suspended-disk", _nothing),
    "WAKEUP": ("woken", _nothing),
    "GUEST_PANICKED": ("crashed", _members("action", "info")),
    "GUEST_CRASHLOADED": ("crash-loaded", _members("action", "info")),
    "WATCHDOG": ("watchdog", _members("action")),
    "BLOCK_IO_ERROR": ("io-error", _io_error),
    "BLOCK_WRITE_THRESHOLD": ("write-threshold", _threshold),
    "BALLOON_CHANGE": ("balloon", _members("actual")),
    "MEMORY_DEVICE_SIZE_CHANGE": ("memory-device", _members("size", device="id")),
    "DEVICE_DELETED": ("device-deleted", _named_device),
    "DEVICE_UNPLUG_GUEST_ERROR": ("unplug-failed", _named_device),
    "MEM_UNPLUG_ERROR": ("unplug-failed", _named_device),
    "ACPI_DEVICE_OST": ("unplug-failed", _ost),
    "DEVICE_TRAY_MOVED": ("tray", _tray),
    "VSERPORT_CHANGE": ("port", _members("open", device="id")),
    "VNC_CONNECTED": ("graphics", _graphics),
    "VNC_INITIALIZED": ("graphics", _graphics),
    "VNC_DISCONNECTED": ("graphics", _graphics),
    "SPICE_CONNECTED": ("graphics", _graphics),
    "SPICE_INITIALIZED": ("graphics", _graphics),
    "SPICE_DISCONNECTED": ("graphics", _graphics),
    "RTC_CHANGE": ("rtc", _members("offset")),
    "BLOCK_JOB_COMPLETED": ("block-job", _block_job),
    "BLOCK_JOB_CANCELLED": ("block-job", _block_job),
    "BLOCK_JOB_READY": ("block-job", _block_job),
    "BLOCK_JOB_ERROR": ("block-job", _block_job),
    "BLOCK_JOB_PENDING": ("block-job", _block_job),
    "JOB_STATUS_CHANGE": ("job", _members("id", "status")),
    "MIGRATION": ("migration", _members("status")),
    "MEMORY_FAILURE": ("memory-failure", _members("recipient", "action", "flags")),
    "NIC_RX_FILTER_CHANGED": ("nic-filter", _members(device="name")),
    "PR_MANAGER_STATUS_CHANGED": ("pr-manager", _members("id", "connected")),
}  # fmt: skip
