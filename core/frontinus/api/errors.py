"""The errors of the facade: one hierarchy, each class with a stable code that adapters map to their protocol's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class FrontinusError(Exception):
    """Base of all. `message` is for a person; `details` are facts by name, all text."""

    code: ClassVar[str] = "failed"

    def __init__(self, message: str, **details: str) -> None:
        self.message = message
        self.details: Mapping[str, str] = details
        super().__init__(message)


class InternalError(FrontinusError):
    """A defect of ours: logged with its traceback, told without it."""

    code = "internal"


class InvalidXML(FrontinusError):
    """XML that is malformed, does not fit the model or contradicts itself. details: element, line."""

    code = "invalid-xml"


class InvalidValue(FrontinusError):
    """A parameter out of its range or unknown. details: field."""

    code = "invalid-value"


class Unsupported(FrontinusError):
    """Valid, but this hypervisor, binary or host cannot do it."""

    code = "unsupported"


class NoSuchGuest(FrontinusError):
    """No guest by this name, UUID or id. details: guest."""

    code = "no-such-guest"


class NoSuchNetwork(FrontinusError):
    """No network by this name or UUID, or no such port of it. details: network."""

    code = "no-such-network"


class NoSuchFilter(FrontinusError):
    """No network filter by this name or UUID, or no binding of this link. details: filter."""

    code = "no-such-filter"


class NoSuchPool(FrontinusError):
    """No storage pool by this name or UUID. details: pool."""

    code = "no-such-pool"


class NoSuchVolume(FrontinusError):
    """No volume by this name, path or key. details: volume."""

    code = "no-such-volume"


class NoSuchSecret(FrontinusError):
    """No secret by this UUID or usage. details: secret."""

    code = "no-such-secret"


class NoSuchSnapshot(FrontinusError):
    """The guest has no such snapshot, or none is current. details: snapshot."""

    code = "no-such-snapshot"


class NoSuchCheckpoint(FrontinusError):
    """The guest has no such checkpoint. details: checkpoint."""

    code = "no-such-checkpoint"


class NoSuchDevice(FrontinusError):
    """The guest has no such device."""

    code = "no-such-device"


class NoSuchMetadata(FrontinusError):
    """The guest has no metadata under this URI."""

    code = "no-such-metadata"


class AlreadyExists(FrontinusError):
    """A name or UUID is taken."""

    code = "already-exists"


class WrongState(FrontinusError):
    """The guest is not in a state for this: start of a running guest, say. details: state."""

    code = "wrong-state"


class Busy(FrontinusError):
    """Another job holds the guest. details: job."""

    code = "busy"


class Denied(FrontinusError):
    """The caller may not do this."""

    code = "denied"


class HypervisorFailed(FrontinusError):
    """The hypervisor refused or died. details: class (QMP's error class), log (its last words)."""

    code = "hypervisor-failed"


class Unresponsive(FrontinusError):
    """No answer within the deadline."""

    code = "unresponsive"


class AgentUnavailable(FrontinusError):
    """No guest agent is configured, connected, or answering."""

    code = "agent-unavailable"


class NoSuchProcess(FrontinusError):
    """The recorded process is gone or is another's."""

    code = "no-such-process"


class HostFailed(FrontinusError):
    """The host refused: a tap, a port, a permission, a missing program. details: what."""

    code = "host-failed"


class StorageFailed(FrontinusError):
    """A file or image could not be read or written. details: path."""

    code = "storage-failed"


class Cancelled(FrontinusError):
    """The job was aborted on request."""

    code = "cancelled"


class Disconnected(FrontinusError):
    """The engine closed the connection or cannot be reached."""

    code = "disconnected"


def _family(root: type[FrontinusError]) -> dict[str, type[FrontinusError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _family(child)
    return found


ERRORS: Mapping[str, type[FrontinusError]] = _family(FrontinusError)
"""Every error class by its code."""
