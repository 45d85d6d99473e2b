"""The kinds of pools, one file each; `kind_of` finds one by the type in a pool's XML."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import Unsupported
from frontinus.storage.pools.base import PoolKind
from frontinus.storage.pools.dir import Dir
from frontinus.storage.pools.disk import Disk
from frontinus.storage.pools.fs import Fs
from frontinus.storage.pools.gluster import Gluster
from frontinus.storage.pools.iscsi import Iscsi
from frontinus.storage.pools.iscsi_direct import IscsiDirect
from frontinus.storage.pools.logical import Logical
from frontinus.storage.pools.mpath import Mpath
from frontinus.storage.pools.netfs import NetFs
from frontinus.storage.pools.rbd import Rbd
from frontinus.storage.pools.scsi import Scsi
from frontinus.storage.pools.sheepdog import Sheepdog
from frontinus.storage.pools.vstorage import Vstorage
from frontinus.storage.pools.zfs import Zfs

KINDS: Mapping[str, PoolKind] = {
    kind.name: kind
    for kind in (
        Dir(),
        Fs(),
        NetFs(),
        Logical(),
        Disk(),
        Iscsi(),
        IscsiDirect(),
        Scsi(),
        Mpath(),
        Rbd(),
        Sheepdog(),
        Gluster(),
        Zfs(),
        Vstorage(),
    )  # fmt: skip
}
"""Every kind by its name, in virsh's order."""


def kind_of(type: str) -> PoolKind:
    """Raises Unsupported."""
    kind = KINDS.get(type)
    if kind is None:
        raise Unsupported(f"pools of type '{type}' are not supported")
    return kind
