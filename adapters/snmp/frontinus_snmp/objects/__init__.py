"""The objects that the agent serves, a table for each module."""

from __future__ import annotations

from collections.abc import Sequence

from frontinus_snmp.ber import Oid
from frontinus_snmp.objects import access, agent, own, vm
from frontinus_snmp.objects import host as host_objects
from frontinus_snmp.objects.kinds import Module
from frontinus_snmp.roots import ROOT


def modules(root: Oid = ROOT, *, host: bool = True) -> Sequence[Module]:
    """All modules, ours below `root`. `host`: IF-MIB and HOST-RESOURCES-MIB too, which another agent may serve already."""
    return (agent.MODULE, vm.MODULE, own.module(root), access.MODULE, *((host_objects.MODULE,) if host else ()))


def below_master(root: Oid = ROOT) -> Sequence[Module]:
    """What a subagent serves: the rest is the master agent's."""
    return (vm.MODULE, own.module(root))


MODULES = modules()
