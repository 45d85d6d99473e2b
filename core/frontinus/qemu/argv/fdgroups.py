"""Images that are open already: descriptors that a caller gave, in a set from which QEMU takes one of the mode that it needs.

QEMU never opens such an image by its path. What it finds in /dev/fdset/N has to be open exactly as it would open it: a disk
that is written wants two descriptors, one for reading alone and one for both.
"""

from __future__ import annotations

from frontinus.api.errors import WrongState
from frontinus.domain.devices.image import DATA, Image
from frontinus.domain.plan import Handed
from frontinus.qemu.argv.context import Context

FIRST_SET = 1 << 28
"""Above the numbers of sets that are named by a descriptor. QEMU takes up to 2^31 - 1 (util/osdep.c, qemu_parse_fd)."""


def number_of(image: Image) -> int:
    """The set of an image: by its index, so that whoever unplugs it, in another life of the engine, knows it too."""
    digits = "".join(sign for sign in image.name if sign.isdigit())
    return FIRST_SET + 2 * int(digits or 0) + image.name.endswith(DATA)


def count_of(ctx: Context, group: str) -> int:
    """How many descriptors a group has. Raises WrongState where nobody gave one."""
    if ctx.host.fdgroups is None:
        return 1
    if group not in ctx.host.fdgroups:
        raise WrongState(f"<source fdgroup='{group}'>: no descriptors are associated with the guest under this name",
                         state="not associated")  # fmt: skip
    return ctx.host.fdgroups[group]


def emit_set(ctx: Context, image: Image, purpose: str) -> str:
    """Emit the set of an image; returns the path under which QEMU finds it."""
    group, number = image.source.fdgroup or "", number_of(image)
    fds = tuple(ctx.fd() for _ in range(count_of(ctx, group)))
    ctx.need(Handed(group, fds))
    for place, fd in enumerate(fds):
        ctx.props("add-fd", {"set": number, "fd": fd, "opaque": f"{purpose}{place}"})
    return f"/dev/fdset/{number}"


def is_single(ctx: Context, image: Image) -> bool:
    """Whether an image has one descriptor alone, which QEMU then cannot exchange for one of another mode."""
    return image.source.fdgroup is not None and count_of(ctx, image.source.fdgroup) == 1
