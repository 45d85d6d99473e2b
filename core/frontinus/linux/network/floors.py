"""Floors of guests' taps on their bridges: they outlive the tap, so they are taken back at the guest's end."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.domain.plan import Tap
from frontinus.linux.network import traffic
from frontinus.linux.network.iproute import iproute
from frontinus.linux.setup import Undo, number, text

KIND = "floor"


def intend(resource: Tap) -> list[Undo]:
    """The undo record of a tap's floor, if it has one."""
    if resource.floor is None or resource.bridge is None:
        return []
    return [{"kind": KIND, "bridge": resource.bridge, "class": resource.floor.class_id, "alias": resource.alias}]


def make(resource: Tap) -> None:
    """Raises HostFailed."""
    if resource.floor is not None and resource.bridge is not None:
        with iproute("promise a rate on", resource.bridge) as ip:
            for index in ip.link_lookup(ifname=resource.bridge):
                traffic.add_floor(ip, index, resource.floor, resource.mac)


def undo(record: Mapping[str, object]) -> None:
    """Idempotent. Raises HostFailed."""
    bridge = text(record, "bridge")
    with iproute("take a promised rate from", bridge) as ip:
        for index in ip.link_lookup(ifname=bridge):
            traffic.remove_floor(ip, index, number(record, "class"))
