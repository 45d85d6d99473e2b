"""A guest's state in CIM's terms, and which changes of it can be asked for (DSP1057, DSP1042). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from frontinus.api.views import GuestView, State


class Enabled(IntEnum):
    """EnabledState and RequestedState of CIM_EnabledLogicalElement, as far as they are used."""

    UNKNOWN = 0
    ENABLED = 2
    DISABLED = 3
    SHUT_DOWN = 4
    NOT_APPLICABLE = 5
    OFFLINE = 6
    QUIESCE = 9
    REBOOT = 10
    RESET = 11
    NO_CHANGE = 12


NOT_APPLICABLE = 12
"""RequestedState of what cannot be asked for a state."""


@dataclass(frozen=True)
class Shown:
    """A row of the table: EnabledState, OperationalStatus with its words, HealthState, OperatingStatus, PrimaryStatus."""

    enabled: Enabled
    status: int
    words: str
    health: int
    operating: int
    primary: int = 1


OK, STOPPED, DORMANT, STOPPING, ERROR, NO_CONTACT = 2, 10, 15, 9, 6, 12
STATES: Mapping[State, Shown] = {
    "nostate": Shown(Enabled.UNKNOWN, NO_CONTACT, "The guest's state is not known", 0, 0, 0),
    "running": Shown(Enabled.ENABLED, OK, "The guest is running", 5, 16),
    "blocked": Shown(Enabled.ENABLED, OK, "The guest is blocked on a resource", 5, 16),
    "paused": Shown(Enabled.QUIESCE, DORMANT, "The guest is paused", 5, 7),
    "shutdown": Shown(Enabled.SHUT_DOWN, STOPPING, "The guest is shutting down", 5, 13),
    "shutoff": Shown(Enabled.DISABLED, STOPPED, "The guest is off", 5, 5),
    "crashed": Shown(Enabled.DISABLED, ERROR, "The guest crashed", 25, 6, 3),
    "pmsuspended": Shown(Enabled.QUIESCE, DORMANT, "The guest is suspended by its system", 5, 7),
}
"""How each state of the facade is shown."""
SAVED = Shown(Enabled.OFFLINE, DORMANT, "The guest is off, its state is saved", 5, 7)
TROUBLED = Shown(Enabled.QUIESCE, ERROR, "The guest is paused after an I/O error", 20, 7, 3)
FAILED = Shown(Enabled.DISABLED, ERROR, "The guest is off since it crashed", 20, 6, 3)


def shown(view: GuestView) -> Shown:
    """How a guest is shown."""
    if view.state == "shutoff" and view.managed_save:
        return SAVED
    if view.state == "paused" and view.reason == "I/O error":
        return TROUBLED
    if view.state == "shutoff" and view.reason in ("crashed", "failed"):
        return FAILED
    return STATES[view.state]


REQUESTS: Mapping[Enabled, tuple[int, ...]] = {
    Enabled.UNKNOWN: (3,), Enabled.ENABLED: (3, 4, 6, 9, 10, 11), Enabled.DISABLED: (2,), Enabled.SHUT_DOWN: (3, 11),
    Enabled.OFFLINE: (2, 3), Enabled.QUIESCE: (2, 3, 6, 11),
}  # fmt: skip
"""The states that can be asked for, by the EnabledState that a guest is in."""
ALL_REQUESTS = (2, 3, 4, 6, 9, 10, 11)
