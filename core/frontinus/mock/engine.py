"""A whole engine on the mock hypervisor, with the guests that users of a test hypervisor know."""

from __future__ import annotations

import platform
import uuid

from frontinus.api.identity import Identity
from frontinus.api.views import HostView
from frontinus.domain.host import HostFacts, Paths
from frontinus.engine.access import Policy
from frontinus.engine.local import LocalEngine
from frontinus.engine.world import World
from frontinus.mock.audit import MemoryAudit
from frontinus.mock.firewall import MemoryFirewall
from frontinus.mock.hypervisor import MockHypervisor
from frontinus.mock.images import MemoryImages
from frontinus.mock.keeper import MemoryKeeper
from frontinus.mock.limits import MemoryLimits
from frontinus.mock.networks import MemoryNetworks
from frontinus.mock.node import MockNode
from frontinus.mock.resources import MemoryResources
from frontinus.mock.storage import MemoryStorage
from frontinus.mock.store import MemoryStore

ROOT = Identity(uid=0, gid=0)

FIRST = """
<domain type='qemu'>
  <name>test</name>
  <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
  <memory unit='GiB'>8</memory>
  <currentMemory unit='GiB'>2</currentMemory>
  <vcpu>2</vcpu>
  <os><type arch='i686'>hvm</type></os>
</domain>
"""
"""The guest that is there, running, at every start of a mock."""

POOL = """
<pool type='dir'>
  <name>default-pool</name>
  <uuid>dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566</uuid>
  <target><path>/default-pool</path></target>
</pool>
"""
"""The pool that is there, running and empty."""

CROWD = """
<domain type='qemu'>
  <name>guest-{number:05d}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>512</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='/var/lib/mock/{number}.img'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='user'><mac address='52:54:00:{a:02x}:{b:02x}:01'/><model type='virtio'/></interface>
  </devices>
</domain>
"""
"""A member of the crowd that load tests ask for."""


NETWORK = """
<network>
  <name>default</name>
  <uuid>dd8fe884-6c02-601e-7551-cca97df1c5df</uuid>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
</network>
"""
"""The network that is there, active, at every start of a mock."""


def host_view() -> HostView:
    """A host of eight CPUs and 16 GiB."""
    return HostView(
        hostname=platform.node() or "mock",
        uuid=str(uuid.UUID(int=1)),
        arch="x86_64",
        cpu_model="x86_64",
        cpus=8,
        sockets=2,
        cores=2,
        threads=2,
        numa_nodes=1,
        memory=16 * 2**30,
        memory_free=8 * 2**30,
        cpu_mhz=1400,
    )


async def mock_engine(paths: Paths | None = None, *, guests: int = 0, fixture: bool = True,
                      policy: Policy | None = None) -> LocalEngine:  # fmt: skip
    """An engine on the mock: with the fixture's guest running, and `guests` more."""
    host = HostFacts(cpus=8, paths=paths or Paths())
    firewall = MemoryFirewall()
    world = World(MockHypervisor(), MemoryResources(firewall), MemoryStore(), host, host_view, MemoryAudit(),
                  MockNode(), MemoryStorage(), MemoryKeeper(), MemoryImages(), MemoryLimits(),
                  host_networks=MemoryNetworks(), firewall=firewall)  # fmt: skip
    engine = LocalEngine(world, policy)
    session = engine.session(ROOT)
    if fixture:
        await session.define(FIRST)
        await session.start("test")
        await session.create_pool(POOL, build=())
        await session.define_pool(POOL)
        await session.define_network(NETWORK)
        await session.start_network("default")
    for number in range(guests):
        name = uuid.uuid5(uuid.NAMESPACE_OID, str(number))
        view = await session.define(CROWD.format(number=number, uuid=name, a=number >> 8 & 255, b=number & 255))
        await session.start(view.uuid)
    return engine
