"""Pools of type sheepdog: kept as definitions. Sheepdog is no longer developed, and QEMU dropped its driver in 6.1."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import PoolKind
from frontinus.storage.steps import Script


class Sheepdog(PoolKind):
    name = "sheepdog"
    volume_type = "network"
    needs = ("host", "name")
    supported = False

    def start(self, pool: Pool) -> Script[None]:
        raise Unsupported("pools of type 'sheepdog' cannot be started: QEMU has no driver for it since 6.1")
