"""Networks, pools, volumes, secrets, filters and snapshots over org.frontinus1, on the mock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import Variant

from support.bus import TEST, CallFailed, Rig, ask, listen, service
from support.real import place

__all__ = ["place"]
pytestmark = pytest.mark.needs("dbus-daemon")
ROOT = "/org/frontinus1"
GET, SET = (f"org.freedesktop.DBus.Properties.{name}" for name in ("Get", "Set"))
GUEST = f"{ROOT}/guest/{TEST}"
POOL = f"{ROOT}/pool/_dfe224cb_28fb_8dd0_c4b2_64eb3f0f4566"
INNER = f"{ROOT}/network/_44444444_5555_6666_7777_888888888888"
NETWORK = """<network><name>inner</name><uuid>44444444-5555-6666-7777-888888888888</uuid><bridge name='virbr7'/>
<ip address='10.9.8.1' netmask='255.255.255.0'><dhcp><range start='10.9.8.2' end='10.9.8.9'/></dhcp></ip></network>"""
SECRET = """<secret ephemeral='no' private='no'><uuid>55555555-5555-6666-7777-888888888888</uuid>
<usage type='ceph'><name>client.x</name></usage></secret>"""
FILTER = """<filter name='mine' chain='root'><uuid>66666666-5555-6666-7777-888888888888</uuid>
<rule action='drop' direction='inout'><all/></rule></filter>"""
VOLUME = "<volume><name>{}</name><capacity unit='MiB'>10</capacity></volume>"


@pytest.fixture
async def rig(place: Path) -> AsyncIterator[Rig]:
    async with service(place) as rig:
        yield rig


async def call(rig: Rig, path: str, member: str, signature: str = "", *body: object) -> list[object]:
    return await rig.call(f"org.frontinus1.{member}", signature, *body, path=path)


async def read(rig: Rig, path: str, kind: str, name: str) -> object:
    (value,) = await rig.call(GET, "ss", f"org.frontinus1.{kind}", name, path=path)
    assert isinstance(value, Variant)
    return value.value


async def test_a_network_comes_changes_and_goes(rig: Rig) -> None:
    async with rig.bus.client() as client:
        signals = await listen(client, "type='signal',sender='org.frontinus1'")
        assert await call(rig, ROOT, "Manager.DefineNetwork", "sb", NETWORK, False) == [INNER]
        assert await read(rig, INNER, "Network", "Active") is False  # at once: the answer waits for the object
        added = await signals.next("InterfacesAdded")
        assert added.body[0] == INNER and added.body[1]["org.frontinus1.Network"]["Bridge"].value == "virbr7"
        await call(rig, INNER, "Network.Start")
        changed = await signals.next("PropertiesChanged")
        assert changed.path == INNER and changed.body[:2] == ["org.frontinus1.Network", {"Active": Variant("b", True)}]
        await rig.call(SET, "ssv", "org.frontinus1.Network", "Autostart", Variant("b", True), path=INNER)
        assert await read(rig, INNER, "Network", "Autostart") is True
        host = "<host mac='52:54:00:00:00:05' ip='10.9.8.5'/>"
        await call(rig, INNER, "Network.Update", "ssisbb", "add-last", "ip-dhcp-host", -1, host, True, True)
        assert "10.9.8.5" in str((await call(rig, INNER, "Network.Xml", "b", True))[0])
        assert await call(rig, INNER, "Network.Leases", "s", "") == [[]]
        assert await call(rig, INNER, "Network.Ports") == [[]]
        assert await call(rig, ROOT, "Manager.FindNetwork", "s", "inner") == [INNER]
        await call(rig, INNER, "Network.Destroy")
        await call(rig, INNER, "Network.Undefine")
        assert (await signals.next("InterfacesRemoved")).body == [INNER, ["org.frontinus1.Network"]]
        with pytest.raises(CallFailed, match="NoSuchNetwork"):
            await call(rig, ROOT, "Manager.FindNetwork", "s", "inner")


async def test_a_pool_with_its_volumes(rig: Rig) -> None:
    assert await call(rig, ROOT, "Manager.FindPool", "s", "default-pool") == [POOL]
    async with rig.bus.client() as client:
        signals = await listen(client, "type='signal',sender='org.frontinus1'")
        assert await call(rig, POOL, "Pool.CreateVolume", "sas", VOLUME.format("disk.img"), []) == ["disk.img"]
        assert (await signals.next("Volume")).body == ["created", "disk.img"]
        (volumes,) = await call(rig, POOL, "Pool.Volumes")
        assert isinstance(volumes, dict)
        assert volumes["disk.img"]["path"].value == "/default-pool/disk.img"
        await call(rig, POOL, "Pool.ResizeVolume", "stas", "disk.img", 10 * 2**20, ["delta"])
        assert "<capacity unit='bytes'>20971520<" in str((await call(rig, POOL, "Pool.VolumeXml", "s", "disk.img"))[0])
        copy = VOLUME.format("copy.img").replace(">10<", ">20<")
        assert await call(rig, POOL, "Pool.CloneVolume", "sssas", copy, "default-pool", "disk.img", []) == ["copy.img"]
        await call(rig, POOL, "Pool.WipeVolume", "ss", "copy.img", "")
        for name in ("copy.img", "disk.img"):
            await call(rig, POOL, "Pool.DeleteVolume", "s", name)
        with pytest.raises(CallFailed, match="NoSuchVolume"):
            await call(rig, POOL, "Pool.VolumeXml", "s", "disk.img")
        await call(rig, POOL, "Pool.Destroy")
        assert await read(rig, POOL, "Pool", "State") == "inactive"
        await call(rig, POOL, "Pool.Start")
        await call(rig, POOL, "Pool.Refresh")
        assert await read(rig, POOL, "Pool", "State") == "running"


async def test_a_secret_keeps_its_value(rig: Rig) -> None:
    (path,) = await call(rig, ROOT, "Manager.DefineSecret", "sb", SECRET, False)
    assert isinstance(path, str)
    assert await call(rig, ROOT, "Manager.FindSecret", "ss", "ceph", "client.x") == [path]
    assert await read(rig, path, "Secret", "HasValue") is False
    await call(rig, path, "Secret.SetValue", "ay", b"hidden")
    assert await read(rig, path, "Secret", "HasValue") is True
    assert await call(rig, path, "Secret.Value") == [b"hidden"]
    assert "hidden" not in str(await call(rig, path, "Secret.Xml"))
    await call(rig, path, "Secret.Undefine")
    with pytest.raises(CallFailed, match="UnknownObject"):
        await call(rig, path, "Secret.Value")


async def test_a_filter(rig: Rig) -> None:
    (path,) = await call(rig, ROOT, "Manager.DefineFilter", "sb", FILTER, False)
    assert isinstance(path, str) and path == f"{ROOT}/filter/_66666666_5555_6666_7777_888888888888"
    assert await read(rig, path, "Filter", "Name") == "mine" and await read(rig, path, "Filter", "Builtin") is False
    assert "drop" in str(await call(rig, path, "Filter.Xml"))
    assert await call(rig, ROOT, "Manager.FilterBindings") == [[]]
    await call(rig, path, "Filter.Undefine")
    with pytest.raises(CallFailed, match="NoSuchFilter"):
        await call(rig, ROOT, "Manager.FindFilter", "s", "mine")


async def test_snapshots_of_a_guest(rig: Rig) -> None:
    async with rig.bus.client() as client:
        guest = await _with_disk(rig)
        signals = await listen(client, "type='signal',sender='org.frontinus1',member='News'")
        xml = "<domainsnapshot><name>before</name></domainsnapshot>"
        assert await call(rig, guest, "Guest.CreateSnapshot", "sas", xml, []) == ["before"]
        while (news := await signals.next("News")).body[0] != "guestsnapshot":
            pass
        assert news.path == guest and news.body[1]["kind"].value == "created"
        (known,) = await call(rig, guest, "Guest.Snapshots")
        assert isinstance(known, dict) and known["before"]["current"].value is True
        assert "<name>before</name>" in str(await call(rig, guest, "Guest.SnapshotXml", "sb", "before", False))
        await call(rig, guest, "Guest.RevertSnapshot", "sas", "before", [])
        await call(rig, guest, "Guest.DeleteSnapshot", "sas", "before", [])
        assert await call(rig, guest, "Guest.Snapshots") == [{}]
        with pytest.raises(CallFailed, match="NoSuchSnapshot"):
            await call(rig, guest, "Guest.SnapshotXml", "sb", "before", False)


async def _with_disk(rig: Rig) -> str:
    """A guest with a disk of the mock's pool, off."""
    await call(rig, POOL, "Pool.CreateVolume", "sas", VOLUME.format("root.qcow2").replace(
        "</volume>", "<target><format type='qcow2'/></target></volume>"), [])  # fmt: skip
    xml = """<domain type='test'><name>disked</name><memory>65536</memory><os><type>hvm</type></os><devices>
    <disk type='file'><driver name='qemu' type='qcow2'/><source file='/default-pool/root.qcow2'/><target dev='vda'/></disk>
    </devices></domain>"""
    (path,) = await call(rig, ROOT, "Manager.Define", "sb", xml, False)
    return str(path)


async def test_work_on_disks_and_addresses_answer_by_name(rig: Rig) -> None:
    """No disk has work now, and a guest without NICs has no addresses: the calls reach the engine and come back typed."""
    assert await call(rig, GUEST, "Guest.BlockJobs") == [{}]
    assert await call(rig, GUEST, "Guest.Addresses", "s", "") == [[]]
    assert await call(rig, GUEST, "Guest.Checkpoints") == [{}]
    with pytest.raises(CallFailed, match=r"org\.frontinus1\.Error\.WrongState"):
        await call(rig, GUEST, "Guest.BackupXml")
    with pytest.raises(CallFailed, match=r"org\.frontinus1\.Error\.NoSuchDevice"):
        await call(rig, GUEST, "Guest.BlockPull", "sst", "nodisk", "", 0)


async def test_the_world_has_every_kind(rig: Rig) -> None:
    async with rig.bus.client() as client:
        (world,) = await ask(client, "org.frontinus1", ROOT, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
    kinds = {name for facts in world.values() for name in facts}
    assert kinds >= {f"org.frontinus1.{kind}" for kind in ("Manager", "Guest", "Network", "Pool", "Filter")}
    assert world[POOL]["org.frontinus1.Pool"]["Name"].value == "default-pool"
