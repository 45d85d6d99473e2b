"""Networks, filters, pools, volumes, secrets and snapshots over org.libvirt, on the mock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import Variant

from support.bus import TEST, CallFailed, Rig, listen, service
from support.real import place

__all__ = ["place"]
pytestmark = pytest.mark.needs("dbus-daemon")
CONNECT = "org.libvirt.Connect."
GET, ALL, SET = (f"org.freedesktop.DBus.Properties.{name}" for name in ("Get", "GetAll", "Set"))
DEFAULT = "/org/libvirt/Test/network/_dd8fe884_6c02_601e_7551_cca97df1c5df"
POOL = "/org/libvirt/Test/storagepool/_dfe224cb_28fb_8dd0_c4b2_64eb3f0f4566"
ISOLATED = """<network><name>inner</name><uuid>44444444-5555-6666-7777-888888888888</uuid><bridge name='virbr7'/>
<ip address='10.9.8.1' netmask='255.255.255.0'><dhcp><range start='10.9.8.2' end='10.9.8.9'/></dhcp></ip></network>"""
INNER = "/org/libvirt/Test/network/_44444444_5555_6666_7777_888888888888"
SECRET = """<secret ephemeral='no' private='no'><uuid>55555555-5555-6666-7777-888888888888</uuid>
<usage type='ceph'><name>client.x</name></usage></secret>"""
FILTER = """<filter name='mine' chain='root'><uuid>66666666-5555-6666-7777-888888888888</uuid>
<rule action='drop' direction='inout'><all/></rule></filter>"""


@pytest.fixture
async def rig(place: Path) -> AsyncIterator[Rig]:
    async with service(place) as rig:
        yield rig


def plain(values: dict[str, Variant]) -> dict[str, object]:
    return {name: value.value.value for name, value in values.items()}


async def test_the_default_network_is_there(rig: Rig) -> None:
    assert await rig.call(CONNECT + "ListNetworks", "u", 2) == [[DEFAULT]]
    assert await rig.call(CONNECT + "ListNetworks", "u", 1) == [[]]
    assert plain((await rig.call(ALL, "s", "org.libvirt.Network", path=DEFAULT))[0]) == {
        "Active": True, "Autostart": False, "Name": "default", "Persistent": True,
        "UUID": "dd8fe884-6c02-601e-7551-cca97df1c5df"}  # fmt: skip


async def test_a_networks_life(rig: Rig) -> None:
    async with rig.bus.client() as client:
        signals = await listen(client)
        assert await rig.call(CONNECT + "NetworkDefineXML", "s", ISOLATED) == [INNER]
        assert (await signals.next("NetworkEvent")).body == [INNER, 0]
        await rig.call("org.libvirt.Network.Create", path=INNER)
        assert (await signals.next("NetworkEvent")).body == [INNER, 2]
        assert (await rig.call(GET, "ss", "org.libvirt.Network", "Active", path=INNER))[0].value is True
        host = "<host mac='52:54:00:00:00:05' ip='10.9.8.5'/>"
        await rig.call("org.libvirt.Network.Update", "uuisu", 3, 4, -1, host, 3, path=INNER)
        assert "10.9.8.5" in (await rig.call("org.libvirt.Network.GetXMLDesc", "u", 0, path=INNER))[0]
        assert await rig.call("org.libvirt.Network.GetDHCPLeases", "su", "", 0, path=INNER) == [[]]
        await rig.call(SET, "ssv", "org.libvirt.Network", "Autostart", Variant("b", True), path=INNER)
        assert (await rig.call(GET, "ss", "org.libvirt.Network", "Autostart", path=INNER))[0].value is True
        assert await rig.call(CONNECT + "NetworkLookupByName", "s", "inner") == [INNER]
        await rig.call("org.libvirt.Network.Destroy", path=INNER)
        await rig.call("org.libvirt.Network.Undefine", path=INNER)
        assert [(await signals.next("NetworkEvent")).body[1] for _ in range(2)] == [3, 1]
        with pytest.raises(CallFailed, match=r"^org\.libvirt\.Error: Network not found"):
            await rig.call(CONNECT + "NetworkLookupByName", "s", "inner")


async def test_pools_and_volumes(rig: Rig) -> None:
    assert await rig.call(CONNECT + "ListStoragePools", "u", 0) == [[POOL]]
    assert await rig.call(CONNECT + "ListStoragePools", "u", 64) == [[POOL]]
    assert await rig.call(CONNECT + "ListStoragePools", "u", 128) == [[]]
    ((state, capacity, _, free),) = await rig.call("org.libvirt.StoragePool.GetInfo", path=POOL)
    assert state == 2 and capacity >= free > 0
    xml = "<volume><name>disk.img</name><capacity unit='MiB'>10</capacity></volume>"
    (volume,) = await rig.call("org.libvirt.StoragePool.StorageVolCreateXML", "su", xml, 0, path=POOL)
    assert volume == "/org/libvirt/Test/storagevol/_2fdefault_2dpool_2fdisk_2eimg"
    assert await rig.call("org.libvirt.StoragePool.ListStorageVolumes", "u", 0, path=POOL) == [[volume]]
    assert plain((await rig.call(ALL, "s", "org.libvirt.StorageVol", path=volume))[0]) == {
        "Name": "disk.img", "Key": "/default-pool/disk.img", "Path": "/default-pool/disk.img"}  # fmt: skip
    ((kind, size, _),) = await rig.call("org.libvirt.StorageVol.GetInfo", "u", 0, path=volume)
    assert (kind, size) == (0, 10 * 2**20)
    await rig.call("org.libvirt.StorageVol.Resize", "tu", 20 * 2**20, 0, path=volume)
    assert (await rig.call("org.libvirt.StorageVol.GetInfo", "u", 0, path=volume))[0][1] == 20 * 2**20
    (copy,) = await rig.call("org.libvirt.StoragePool.StorageVolCreateXMLFrom", "ssu",
                             xml.replace("disk.img", "copy.img").replace(">10<", ">20<"), "/default-pool/disk.img", 0,
                             path=POOL)  # fmt: skip
    assert await rig.call(CONNECT + "StorageVolLookupByPath", "s", "/default-pool/copy.img") == [copy]
    for path in (copy, volume):
        await rig.call("org.libvirt.StorageVol.Delete", "u", 0, path=path)
    with pytest.raises(CallFailed, match=r"^org\.libvirt\.Error: Storage volume not found"):
        await rig.call("org.libvirt.StorageVol.GetXMLDesc", "u", 0, path=volume)


async def test_a_pool_tells_what_becomes_of_it(rig: Rig) -> None:
    async with rig.bus.client() as client:
        signals = await listen(client)
        await rig.call("org.libvirt.StoragePool.Refresh", "u", 0, path=POOL)
        assert (await signals.next("Refresh")).path == POOL
        await rig.call("org.libvirt.StoragePool.Destroy", path=POOL)
        assert (await signals.next("StoragePoolEvent")).body == [POOL, 3, 0]
        assert (await rig.call(GET, "ss", "org.libvirt.StoragePool", "Active", path=POOL))[0].value is False
        await rig.call("org.libvirt.StoragePool.Create", "u", 0, path=POOL)
        assert (await signals.next("StoragePoolEvent")).body == [POOL, 2, 0]


async def test_secrets_keep_their_value(rig: Rig) -> None:
    (path,) = await rig.call(CONNECT + "SecretDefineXML", "su", SECRET, 0)
    assert path == "/org/libvirt/Test/secret/_55555555_5555_6666_7777_888888888888"
    assert await rig.call(CONNECT + "SecretLookupByUsage", "is", 2, "client.x") == [path]
    await rig.call("org.libvirt.Secret.SetValue", "ayu", b"hidden", 0, path=path)
    assert await rig.call("org.libvirt.Secret.GetValue", "u", 0, path=path) == [b"hidden"]
    assert plain((await rig.call(ALL, "s", "org.libvirt.Secret", path=path))[0]) == {
        "UUID": "55555555-5555-6666-7777-888888888888", "UsageID": "client.x", "UsageType": 2}  # fmt: skip
    assert b"hidden" not in (await rig.call("org.libvirt.Secret.GetXMLDesc", "u", 0, path=path))[0].encode()
    await rig.call("org.libvirt.Secret.Undefine", path=path)
    assert await rig.call(CONNECT + "ListSecrets", "u", 0) == [[]]


async def test_packet_filters(rig: Rig) -> None:
    (path,) = await rig.call(CONNECT + "NWFilterDefineXML", "s", FILTER)
    assert path == "/org/libvirt/Test/nwfilter/_66666666_5555_6666_7777_888888888888"
    assert await rig.call(CONNECT + "NWFilterLookupByName", "s", "mine") == [path]
    assert path in (await rig.call(CONNECT + "ListNWFilters", "u", 0))[0]
    assert "drop" in (await rig.call("org.libvirt.NWFilter.GetXMLDesc", "u", 0, path=path))[0]
    assert plain((await rig.call(ALL, "s", "org.libvirt.NWFilter", path=path))[0])["Name"] == "mine"
    await rig.call("org.libvirt.NWFilter.Undefine", path=path)
    with pytest.raises(CallFailed, match=r"^org\.libvirt\.Error: Network filter not found"):
        await rig.call(CONNECT + "NWFilterLookupByName", "s", "mine")


async def test_a_snapshots_life(rig: Rig) -> None:
    xml = "<domainsnapshot><name>a b</name></domainsnapshot>"
    (path,) = await rig.call("org.libvirt.Domain.SnapshotCreateXML", "su", xml, 0)
    assert path == f"/org/libvirt/Test/domainsnapshot/{TEST}_a_20b"
    (child,) = await rig.call("org.libvirt.Domain.SnapshotCreateXML", "su", xml.replace("a b", "c"), 0)
    assert await rig.call("org.libvirt.Domain.ListDomainSnapshots", "u", 0) == [[path, child]]
    assert await rig.call("org.libvirt.Domain.ListDomainSnapshots", "u", 4) == [[child]]
    assert await rig.call("org.libvirt.DomainSnapshot.ListChildren", "u", 0, path=path) == [[child]]
    assert await rig.call("org.libvirt.DomainSnapshot.GetParent", "u", 0, path=child) == [path]
    assert await rig.call("org.libvirt.Domain.SnapshotCurrent", "u", 0) == [child]
    with pytest.raises(CallFailed, match=r"^org\.libvirt\.Error: Domain snapshot not found"):
        await rig.call("org.libvirt.DomainSnapshot.GetParent", "u", 0, path=path)
    await rig.call("org.libvirt.DomainSnapshot.Revert", "u", 0, path=path)
    assert await rig.call("org.libvirt.DomainSnapshot.IsCurrent", "u", 0, path=path) == [True]
    for gone in (child, path):
        await rig.call("org.libvirt.DomainSnapshot.Delete", "u", 0, path=gone)
    assert await rig.call("org.libvirt.Domain.ListDomainSnapshots", "u", 0) == [[]]
