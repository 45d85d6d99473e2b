"""Images that are open already: descriptors that a caller gave, in a set of which QEMU takes the one of the mode that it needs.

QEMU never opens such an image by its path. It is told the mode once, and not to change it: its locks are those of an open
file, which outlives its use in the set, so that after a change it would be kept out by itself (block/file-posix.c).
"""

from __future__ import annotations

from collections.abc import Sequence

from frontinus.api.errors import WrongState
from frontinus.domain.devices.block.image import DATA, Image
from frontinus.domain.host import READS, WRITES
from frontinus.domain.plan import Handed
from frontinus.qemu.argv.context import Context

FIRST_SET = 1 << 28
"""Above the numbers of sets that are named by a descriptor. QEMU takes up to 2^31 - 1 (util/osdep.c, qemu_parse_fd)."""


def number_of(image: Image) -> int:
    """The set of an image: by its index, so that whoever unplugs it, in another life of the engine, knows it too."""
    digits = "".join(sign for sign in image.name if sign.isdigit())
    return FIRST_SET + 2 * int(digits or 0) + image.name.endswith(DATA)


def emit_set(ctx: Context, image: Image, purpose: str) -> str:
    """Emit the set of an image; returns the path under which QEMU finds it. Raises WrongState for a group that is not there."""
    group, number = image.source.fdgroup or "", number_of(image)
    given = _modes(ctx, image)
    if not image.read_only and WRITES not in given:
        raise WrongState(f"<source fdgroup='{group}'>: a disk that is written needs a descriptor that is open for reading and"
                         " writing", state="read-only")  # fmt: skip
    fds = tuple(ctx.fd() for _ in given)
    ctx.need(Handed(group, fds))
    for place, fd in enumerate(fds):
        ctx.props("add-fd", {"set": number, "fd": fd, "opaque": f"{purpose}{place}"})
    return f"/dev/fdset/{number}"


def is_written(ctx: Context, image: Image, *, shared: bool) -> bool:
    """Whether an image is opened for writing. A layer below others (`shared`) is where that can be: work may write to it."""
    given = _modes(ctx, image)
    return WRITES in given and (shared or not image.read_only or READS not in given)


def _modes(ctx: Context, image: Image) -> Sequence[str]:
    """How each descriptor of an image's group is open; in a plan that is only shown, one as it has to be."""
    return modes(ctx, image.source.fdgroup or "", (READS,) if image.read_only else (WRITES,))


def modes(ctx: Context, group: str, shown: Sequence[str], element: str = "source") -> Sequence[str]:
    """How each descriptor of a group is open; as `shown` in a plan that nobody carries out. Raises WrongState for no group."""
    if ctx.host.fdgroups is None:
        return shown
    if group not in ctx.host.fdgroups:
        raise WrongState(f"<{element} fdgroup='{group}'>: no descriptors are associated with the guest under this name",
                         state="not associated")  # fmt: skip
    return ctx.host.fdgroups[group]
