"""Errors of the facade as errors of the bus: libvirt's one name with its usual words, and names of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from frontinus.api.errors import FrontinusError

LIBVIRT = "org.libvirt.Error"
NATIVE = "org.frontinus1.Error"
INVALID_ARGS = "org.freedesktop.DBus.Error.InvalidArgs"
UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
UNKNOWN_INTERFACE = "org.freedesktop.DBus.Error.UnknownInterface"
UNKNOWN_PROPERTY = "org.freedesktop.DBus.Error.UnknownProperty"
READ_ONLY = "org.freedesktop.DBus.Error.PropertyReadOnly"
LIMITS_EXCEEDED = "org.freedesktop.DBus.Error.LimitsExceeded"

WORDS: Mapping[str, str] = {
    "failed": "operation failed", "internal": "internal error", "invalid-xml": "XML error",
    "invalid-value": "invalid argument", "unsupported": "unsupported configuration",
    "no-such-guest": "Domain not found", "no-such-device": "device not found",
    "no-such-network": "Network not found", "no-such-filter": "Network filter not found",
    "no-such-pool": "Storage pool not found", "no-such-volume": "Storage volume not found",
    "no-such-secret": "Secret not found", "no-such-snapshot": "Domain snapshot not found",
    "no-such-checkpoint": "Domain checkpoint not found",
    "no-such-metadata": "metadata not found", "already-exists": "operation failed",
    "wrong-state": "Requested operation is not valid", "busy": "Timed out during operation",
    "denied": "access denied", "hypervisor-failed": "internal error", "unresponsive": "Timed out during operation",
    "agent-unavailable": "Guest agent is not responding", "no-such-process": "internal error",
    "host-failed": "internal error", "storage-failed": "operation failed", "cancelled": "operation aborted",
    "disconnected": "internal error",
}  # fmt: skip
"""What clients of org.libvirt look for at the beginning of a message, by our code."""


class NotSupported(FrontinusError):
    """A method or property of org.libvirt that the engine cannot serve."""

    code = "not-supported"


class Fault(Exception):
    """An error of the bus itself, by its standard name."""

    def __init__(self, name: str, message: str) -> None:
        self.name, self.message = name, message
        super().__init__(message)


Told = Callable[[FrontinusError], Fault]


def as_libvirt(error: FrontinusError) -> Fault:
    words = "this function is not supported by the connection driver" if isinstance(error, NotSupported) else (
        WORDS.get(error.code, "operation failed"))  # fmt: skip
    return Fault(LIBVIRT, f"{words}: {error.message}")


def as_native(error: FrontinusError) -> Fault:
    """Named as the class is: org.frontinus1.Error.NoSuchGuest."""
    return Fault(f"{NATIVE}.{'Failed' if type(error) is FrontinusError else type(error).__name__}", error.message)


@dataclass(frozen=True)
class Flags:
    """Bits that a method knows, by name."""

    known: Mapping[str, int]

    def read(self, given: int) -> frozenset[str]:
        """The names of the bits. Raises InvalidValue for others."""
        from frontinus.api.errors import InvalidValue

        left = given & ~sum(self.known.values())
        if left:
            raise InvalidValue(f"unsupported flags (0x{left:x})", field="flags")
        return frozenset(name for name, bit in self.known.items() if given & bit)
