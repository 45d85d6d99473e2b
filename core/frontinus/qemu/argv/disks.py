"""The disks family of the command line."""

from __future__ import annotations

from frontinus.qemu.argv.context import Context


def build(ctx: Context) -> None:
    """Emit the family's items."""
