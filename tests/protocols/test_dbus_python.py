"""A client in another language binding, dbus-python, untyped: it learns every type from introspection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.bus import Rig, service
from support.real import place

__all__ = ["place"]
SYSTEM_PYTHON = "/usr/bin/python3"
pytestmark = pytest.mark.needs("dbus-daemon", SYSTEM_PYTHON)
CLIENT = """
import dbus
bus = dbus.SessionBus()

def of(path, interface):
    return dbus.Interface(bus.get_object('org.libvirt', path), 'org.libvirt.' + interface)

connect = of('/org/libvirt/Test', 'Connect')
assert len(connect.ListDomains(0)) == 1
guest_path = connect.DomainLookupByName('test')
guest = of(guest_path, 'Domain')
guest.SetVcpus(1, 2)
guest.PinVcpu(0, [True, False], 0)
guest.SendKey(0, 10, [29, 56, 111], 0)
guest.SetSchedulerParameters({'cpu_shares': dbus.UInt64(512)}, 0)
guest.SetMetadata(1, 'A title', '', '', 0)
assert guest.GetMetadata(1, '', 0) == 'A title'
assert list(guest.GetState(0)) == [1, 1]
network_path = connect.NetworkLookupByName('default')
network = of(network_path, 'Network')
network.Update('3', '4', -1, "<host mac='52:54:00:00:00:05' ip='192.168.122.5'/>", '3')
network.Update('4', '4', 0, "<host mac='52:54:00:00:00:06' ip='192.168.122.6'/>", 0)
assert '192.168.122.5' in network.GetXMLDesc(0)
properties = dbus.Interface(bus.get_object('org.libvirt', guest_path), dbus.PROPERTIES_IFACE)
properties.Set('org.libvirt.Domain', 'Autostart', True)
assert properties.Get('org.libvirt.Domain', 'Autostart')
pool = of(connect.StoragePoolLookupByName('default-pool'), 'StoragePool')
volume = of(pool.StorageVolCreateXML("<volume><name>v</name><capacity>1048576</capacity></volume>", 0), 'StorageVol')
assert list(volume.GetInfo(0))[1] == 1048576
xml = "<secret ephemeral='no' private='no'><usage type='ceph'><name>x</name></usage></secret>"
secret = of(connect.SecretDefineXML(xml, 0), 'Secret')
secret.SetValue(b'hidden', 0)
assert bytes(secret.GetValue(0)) == b'hidden'
snapshot_path = guest.SnapshotCreateXML('<domainsnapshot><name>first</name></domainsnapshot>', 0)
snapshot = of(snapshot_path, 'DomainSnapshot')
assert snapshot.IsCurrent(0) and list(guest.ListDomainSnapshots(0)) == [snapshot_path]
snapshot.Revert(0)
snapshot.Delete(0)
guest.Destroy(0)
print('done')
"""


@pytest.fixture
async def rig(place: Path) -> AsyncIterator[Rig]:
    async with service(place) as rig:
        yield rig


async def test_untyped_calls_work_by_what_introspection_says(rig: Rig) -> None:
    code, said = await rig.bus.run(SYSTEM_PYTHON, "-c", CLIENT)
    assert (code, said) == (0, "done"), said
