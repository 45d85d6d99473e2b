"""Why a guest cannot be: a reason is a text that names the element. One that lies in the emulator is told apart."""

from __future__ import annotations


class Lacking(str):
    """A reason that lies in this QEMU, not in the definition: another QEMU may take it as it is."""

    __slots__ = ()

    def within(self, what: str) -> Lacking:
        """The same reason, of a part of something."""
        return Lacking(f"{what}: {self}")


def within(what: str, reason: str) -> str:
    """A reason with the thing in front that it is about; it stays what it was."""
    return reason.within(what) if isinstance(reason, Lacking) else f"{what}: {reason}"
