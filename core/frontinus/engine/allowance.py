"""How many descriptors callers may have open in the engine: all of them together, and those of each user."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from frontinus.api.errors import Busy


@dataclass
class Allowances:
    """The account of all: at most `most`, of which one user may have `of_a_user`."""

    most: int
    of_a_user: int
    _held: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, uid: int) -> Allowance:
        return Allowance(self, uid)

    def take(self, uid: int, count: int) -> None:
        """So many more are open. They count also where that is too many: then Busy is raised, and all are to be closed."""
        with self._lock:
            self._held[uid] += count
            if self._held[uid] > self.of_a_user or self._held.total() > self.most:
                raise Busy(f"uid {uid} has too many descriptors open in this engine")

    def give_back(self, uid: int, count: int) -> None:
        with self._lock:
            self._held[uid] -= count
            if not self._held[uid]:
                del self._held[uid]


@dataclass(frozen=True)
class Allowance:
    """One user's part."""

    whole: Allowances
    uid: int

    def take(self, count: int) -> None:
        self.whole.take(self.uid, count)

    def close(self, fds: Sequence[int]) -> None:
        """Close aside: whoever gave a descriptor may have made it one whose closing takes as long as he likes (of a FUSE
        mount, a lingering socket). Until then it counts."""
        closing = threading.Thread(target=self._close, args=(tuple(fds),), name="closing descriptors", daemon=True)
        try:
            closing.start()
        except RuntimeError:  # no thread is to be had
            self._close(fds)

    def _close(self, fds: Sequence[int]) -> None:
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)
            self.whole.give_back(self.uid, 1)
