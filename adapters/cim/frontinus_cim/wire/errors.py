"""CIM status codes (DSP0200), and those that stand for the facade's errors."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from frontinus.api.errors import FrontinusError


class Status(IntEnum):
    """DSP0200 5.2.3, CIM status codes."""

    FAILED = 1
    ACCESS_DENIED = 2
    INVALID_NAMESPACE = 3
    INVALID_PARAMETER = 4
    INVALID_CLASS = 5
    NOT_FOUND = 6
    NOT_SUPPORTED = 7
    CLASS_HAS_CHILDREN = 8
    CLASS_HAS_INSTANCES = 9
    INVALID_SUPERCLASS = 10
    ALREADY_EXISTS = 11
    NO_SUCH_PROPERTY = 12
    TYPE_MISMATCH = 13
    QUERY_LANGUAGE_NOT_SUPPORTED = 14
    INVALID_QUERY = 15
    METHOD_NOT_AVAILABLE = 16
    METHOD_NOT_FOUND = 17
    NAMESPACE_NOT_EMPTY = 20
    INVALID_ENUMERATION_CONTEXT = 21
    INVALID_OPERATION_TIMEOUT = 22
    PULL_HAS_BEEN_ABANDONED = 23
    PULL_CANNOT_BE_ABANDONED = 24
    FILTERED_ENUMERATION_NOT_SUPPORTED = 25
    CONTINUATION_ON_ERROR_NOT_SUPPORTED = 26
    SERVER_LIMITS_EXCEEDED = 27
    SERVER_IS_SHUTTING_DOWN = 28


class CimError(Exception):
    """An operation's answer: a status and what there is to say."""

    def __init__(self, status: Status, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(f"{status.name}: {message}")


def invalid(message: str) -> CimError:
    """What a client gave cannot be."""
    return CimError(Status.INVALID_PARAMETER, message)


STATUS_OF: Mapping[str, Status] = {
    "invalid-xml": Status.INVALID_PARAMETER, "invalid-value": Status.INVALID_PARAMETER,
    "unsupported": Status.NOT_SUPPORTED, **dict.fromkeys(
        ("no-such-guest", "no-such-device", "no-such-metadata", "no-such-network", "no-such-filter", "no-such-pool",
         "no-such-volume", "no-such-secret", "no-such-snapshot", "no-such-checkpoint"), Status.NOT_FOUND),
    "already-exists": Status.ALREADY_EXISTS, "denied": Status.ACCESS_DENIED,
}  # fmt: skip
"""By the code of a facade's error; whatever else failed is FAILED."""


def of(error: FrontinusError) -> CimError:
    """A facade's error as CIM's."""
    return CimError(STATUS_OF.get(error.code, Status.FAILED), error.message)
