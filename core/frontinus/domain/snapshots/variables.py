"""Where a guest keeps its UEFI variables, and what that means for snapshots. Pure.

A state of memory has them: the flash is memory to QEMU, which writes it back when the guest runs again. Of disks alone they
are part only if their image can have a snapshot inside. An external snapshot leaves them as they are.
"""

from __future__ import annotations

from frontinus.api.errors import InvalidXML
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.deciding import INSIDE, inside
from frontinus.domain.snapshots.snapshot import DomainSnapshot


def variable_store(guest: Guest) -> tuple[str, str] | None:
    """The path and the format of the image with the variables; None for a guest that keeps none on this host."""
    nvram, loader = guest.os.nvram, guest.os.loader
    if nvram is None or (loader is not None and loader.stateless):
        return None
    path = nvram.path or (nvram.source.local_path if nvram.source is not None else None)
    return (path, nvram.format or "raw") if path else None


def keeps_inside(guest: Guest) -> bool:
    """Whether the variables can be in a snapshot inside their image."""
    store = variable_store(guest)
    return store is not None and store[1] in INSIDE


def refuse_variables(snapshot: DomainSnapshot, guest: Guest) -> None:
    """Raises InvalidXML for a snapshot inside images that could not have the variables."""
    store = variable_store(guest)
    if store is not None and inside(snapshot) and snapshot.memory != "internal" and store[1] not in INSIDE:
        raise InvalidXML(f"<nvram>: format '{store[1]}' has no snapshots inside; ask for an external snapshot, or for one "
                         "with memory, or keep the variables in qcow2", element="nvram")  # fmt: skip
