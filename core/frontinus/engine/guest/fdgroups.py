"""Descriptors that callers gave a guest, by the name of their group. They go with the connections that gave them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping, Sequence

from frontinus.api.errors import WrongState
from frontinus.domain.host import READS, WRITES
from frontinus.engine.allowance import Allowance
from frontinus.engine.lifetime import Lifetime
from frontinus.wire.passing import copies

FIELD = "descriptors"


class Group:
    """Copies of descriptors, closed once. Raises InvalidValue for what is not open, Busy for a user who has too many."""

    def __init__(self, fds: Sequence[int], allowance: Allowance | None = None) -> None:
        self._allowance = allowance
        self.forget: Callable[[], None] = lambda: None
        """No longer wait for the end of the connection that gave them."""
        self.fds: Sequence[int] = copies(fds, FIELD)
        if allowance is not None:
            try:
                allowance.take(len(self.fds))
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        gone, self.fds = self.fds, ()
        if self._allowance is not None:
            self._allowance.close(gone)
            return
        for fd in gone:
            os.close(fd)


def _mode(fd: int) -> str:
    """Of a descriptor; asks nothing of the file system that the file is on, which may be one that never answers."""
    access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    return {os.O_RDONLY: READS, os.O_RDWR: WRITES}.get(access, "w")


class FdGroups:
    """Those of one guest."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def put(self, name: str, group: Group, lifetime: Lifetime) -> None:
        """Keep a group until the connection ends, in place of one of the same name."""
        self._drop(name)
        self._groups[name] = group
        group.forget = lifetime.when_ended(lambda: self._drop(name))

    def _drop(self, name: str) -> None:
        if (group := self._groups.pop(name, None)) is not None:
            group.forget()
            group.close()

    def modes(self) -> Mapping[str, Sequence[str]]:
        """How each descriptor of each group is open."""
        return {name: [_mode(fd) for fd in group.fds] for name, group in self._groups.items()}

    def copy(self, name: str) -> list[int]:
        """A copy of each descriptor of a group, the caller's to close. Raises WrongState where there is none."""
        group = self._groups.get(name)
        if group is None:
            raise WrongState(
                f"the descriptors of fdgroup '{name}' went with the connection that gave them", state="gone"
            )
        return copies(group.fds, FIELD)

    def clear(self) -> None:
        """Let go of all: the guest is no more, or the engine stops."""
        for name in list(self._groups):
            self._drop(name)
