"""What guests are tuned by, looked into and asked over org.libvirt, on the mock; and every method answers in some way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType, Variant

from frontinus_dbus.libvirt.realm import INTERFACES
from support.bus import TEST, CallFailed, Rig, ask, service
from support.real import place

__all__ = ["place"]
pytestmark = pytest.mark.needs("dbus-daemon")
DOMAIN = "org.libvirt.Domain."
CONNECT = "org.libvirt.Connect."


@pytest.fixture
async def rig(place: Path) -> AsyncIterator[Rig]:
    async with service(place) as rig:
        yield rig


def single(values: dict[str, Variant]) -> dict[str, object]:
    """The values of typed parameters, whose variants are in variants."""
    assert all(value.signature == "v" for value in values.values())
    return {name: value.value.value for name, value in values.items()}


async def test_pins_are_maps_of_the_hosts_cpus(rig: Rig) -> None:
    await rig.call(DOMAIN + "PinVcpu", "uabu", 1, [False, True, True], 0)
    ((first, second),) = await rig.call(DOMAIN + "GetVcpuPinInfo", "u", 0)
    assert first == [True] * 8 and second == [False, True, True] + [False] * 5
    await rig.call(DOMAIN + "PinEmulator", "abu", [True], 2)
    assert await rig.call(DOMAIN + "GetEmulatorPinInfo", "u", 2) == [[True] + [False] * 7]
    assert await rig.call(DOMAIN + "GetEmulatorPinInfo", "u", 0) == [[True] * 8]
    await rig.call(DOMAIN + "AddIOThread", "uu", 3, 0)
    await rig.call(DOMAIN + "PinIOThread", "uabu", 3, [True], 0)
    assert await rig.call(DOMAIN + "GetIOThreadInfo", "u", 0) == [[(3, [True] + [False] * 7)]]
    await rig.call(DOMAIN + "DelIOThread", "uu", 3, 0)
    assert await rig.call(DOMAIN + "GetIOThreadInfo", "u", 0) == [[]]


async def test_a_definition_is_kept_until_it_changes(rig: Rig) -> None:
    async def xml() -> str:
        return str((await rig.call(DOMAIN + "GetXMLDesc", "u", 0))[0])

    assert "vcpupin" not in await xml()
    await rig.call(DOMAIN + "PinVcpu", "uabu", 0, [True], 0)
    assert "vcpupin" in await xml(), "what was changed here is read at once"
    await rig.engine.add_iothread("test", 7)
    async with asyncio.timeout(60):
        while "iothread" not in await xml():  # changed elsewhere: as soon as the news is here
            pass
    stored = (await rig.call(DOMAIN + "GetXMLDesc", "u", 2))[0]
    await rig.call(CONNECT + "DomainDefineXML", "s", stored.replace("<os>", "<on_crash>restart</on_crash><os>"))
    assert "<on_crash>restart" in (await rig.call(DOMAIN + "GetXMLDesc", "u", 2))[0]


async def test_parameters_are_libvirts(rig: Rig) -> None:
    given = {"cpu_shares": Variant("t", 2000), "vcpu_quota": Variant("x", 50000)}
    await rig.call(DOMAIN + "SetSchedulerParameters", "a{sv}u", given, 0)
    (found,) = await rig.call(DOMAIN + "GetSchedulerParameters", "u", 0)
    assert len(found) == 9 and single(found)["cpu_shares"] == 2000 and single(found)["global_quota"] == -1
    assert found["vcpu_quota"].value == Variant("x", 50000) and found["vcpu_period"].value == Variant("t", 100000)
    (kind,) = await rig.call("org.freedesktop.DBus.Properties.Get", "ss", "org.libvirt.Domain", "SchedulerType",
                             path=rig.guest())  # fmt: skip
    assert kind == Variant("(si)", ("posix", 9))

    await rig.call(DOMAIN + "SetMemoryParameters", "a{sv}u", {"soft_limit": Variant("t", 1024)}, 0)
    assert single((await rig.call(DOMAIN + "GetMemoryParameters", "u", 0))[0]) == {
        "hard_limit": 9007199254740991, "soft_limit": 1024, "swap_hard_limit": 9007199254740991}  # fmt: skip
    given = {"weight": Variant("u", 300), "device_read_bytes_sec": Variant("s", "/dev/sda,1000,/dev/sdb,5")}
    await rig.call(DOMAIN + "SetBlockIOParameters", "a{sv}u", given, 2)
    found = single((await rig.call(DOMAIN + "GetBlockIOParameters", "u", 2))[0])
    assert (found["weight"], found["device_read_bytes_sec"], found["device_weight"]) == (
        300, "/dev/sda,1000,/dev/sdb,5", "")  # fmt: skip
    given = {"numa_nodeset": Variant("s", "0-1"), "numa_mode": Variant("i", 2)}
    await rig.call(DOMAIN + "SetNumaParameters", "a{sv}u", given, 2)
    assert single((await rig.call(DOMAIN + "GetNumaParameters", "u", 2))[0]) == {"numa_nodeset": "0-1", "numa_mode": 2}
    for family, wrong in (
        ("Scheduler", {"nonsense": Variant("t", 1)}), ("Scheduler", {"cpu_shares": Variant("s", "x")}),
        ("Memory", {"x": Variant("t", 1)}), ("Numa", {"numa_mode": Variant("i", 9)}),
        ("Numa", {"numa_nodeset": Variant("s", "a")}), ("BlockIO", {"device_weight": Variant("s", "/dev/sda")}),
    ):  # fmt: skip
        with pytest.raises(CallFailed, match=r"^org\.libvirt\.Error: invalid argument"):
            await rig.call(f"{DOMAIN}Set{family}Parameters", "a{sv}u", wrong, 0)


async def test_looks(rig: Rig, place: Path) -> None:
    assert await rig.call(DOMAIN + "MemoryPeek", "ttu", 4096, 8, 2) == [bytes(8)]
    with pytest.raises(CallFailed, match="invalid argument"):
        await rig.call(DOMAIN + "MemoryPeek", "ttu", 4096, 8, 0)
    await rig.call(DOMAIN + "CoreDump", "suu", str(place / "core"), 0, 16)
    assert (place / "core").read_bytes().startswith(b"\x7fELF")
    assert await rig.call(DOMAIN + "GetControlInfo", "u", 0) == [(0, 0, 0)]
    assert await rig.call(DOMAIN + "GetDiskErrors", "u", 0) == [[]]
    assert await rig.call(DOMAIN + "GetSecurityLabelList") == [[("+0:+0", False)]]
    with pytest.raises(CallFailed, match="Guest agent is not responding"):
        await rig.call(DOMAIN + "GetHostname", "u", 0)


async def test_a_display_is_a_descriptor(rig: Rig) -> None:
    await rig.engine.define(GRAPHIC)
    await rig.engine.start("seen")
    async with rig.bus.client(fds=True) as client:
        reply = await client.call(Message(
            destination="org.libvirt", path="/org/libvirt/Test/domain/_11111111_2222_3333_4444_555555555555",
            interface="org.libvirt.Domain", member="OpenGraphicsFD", signature="uu", body=[0, 0]))  # fmt: skip
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
        fd = reply.unix_fds[reply.body[0]]
        try:
            assert os.read(fd, 12) == b"RFB 003.008\n"
        finally:
            os.close(fd)


async def test_native_descriptors(rig: Rig, place: Path) -> None:
    await rig.engine.define(GRAPHIC)
    await rig.engine.start("seen")
    guest = "/org/frontinus1/guest/_11111111_2222_3333_4444_555555555555"
    async with rig.bus.client(fds=True) as client:
        reply = await client.call(Message(destination="org.frontinus1", path=guest, interface="org.frontinus1.Guest",
                                          member="OpenGraphics", signature="u", body=[0]))  # fmt: skip
        display = reply.unix_fds[reply.body[0]]
        assert os.read(display, 12) == b"RFB 003.008\n"
        os.close(display)
        await ask(
            client, "org.frontinus1", guest, "org.frontinus1.Guest.CoreDump", "sbs", str(place / "core"), True, ""
        )
        assert (place / "core").read_bytes().startswith(b"\x7fELF")
        await rig.engine.create_volume("default-pool", "<volume><name>v</name><capacity>4096</capacity></volume>")
        reply = await client.call(Message(
            destination="org.frontinus1", path="/org/frontinus1", interface="org.frontinus1.Manager", member="DownloadVolume",
            signature="sstt", body=["default-pool", "v", 0, 0]))  # fmt: skip
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
        os.close(reply.unix_fds[reply.body[0]])


GRAPHIC = """<domain type='qemu'><name>seen</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
<memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><graphics type='vnc'/><video><model type='vga'/></video></devices></domain>"""


async def test_the_host(rig: Rig) -> None:
    assert await rig.call(CONNECT + "NodeGetCPUMap", "u", 0) == [[True] * 8]
    (times,) = await rig.call(CONNECT + "NodeGetCPUStats", "iu", -1, 0)
    assert set(times) == {"kernel", "user", "idle", "iowait"}
    assert (await rig.call(CONNECT + "NodeGetMemoryStats", "iu", -1, 0))[0]["total"] == 16 * 2**20
    await rig.call(CONNECT + "NodeSetMemoryParameters", "a{sv}u", {"shm_pages_to_scan": Variant("u", 7)}, 0)
    assert single((await rig.call(CONNECT + "NodeGetMemoryParameters", "u", 0))[0])["shm_pages_to_scan"] == 7
    with pytest.raises(CallFailed, match="can only be read"):
        await rig.call(CONNECT + "NodeSetMemoryParameters", "a{sv}u", {"shm_pages_shared": Variant("t", 7)}, 0)


DEFAULTS: dict[str, object] = {
    "s": "", "u": 0, "i": 0, "t": 0, "x": 0, "a{sv}": {}, "ab": [True], "as": [], "ay": b"", "au": [1], "ah": [],
}  # fmt: skip
PLACES = {"Connect": "", "Domain": f"/domain/{TEST}", "DomainSnapshot": f"/domainsnapshot/{TEST}_x",
          "Interface": "/interface/eth0", "NodeDevice": "/nodedev/computer", "StorageVol": "/storagevol/_2fx"}  # fmt: skip


async def test_every_method_answers_and_none_fails_unexpectedly(rig: Rig) -> None:
    """With the emptiest arguments that its signature allows: an answer of its type, or an error that says why."""
    counted = 0
    async with rig.bus.client(fds=True) as client:
        for interface in INTERFACES:
            kind = interface.name.rpartition(".")[2]
            path = "/org/libvirt/Test" + PLACES.get(kind, f"/{kind.lower()}/{TEST}")
            for method in interface.methods:
                counted += 1
                body = [DEFAULTS[argument.signature] for argument in method.takes]
                try:
                    await ask(client, "org.libvirt", path, f"{interface.name}.{method.name}", method.signature, *body)
                except CallFailed as error:
                    assert error.name == "org.libvirt.Error" and "unexpectedly" not in error.message, (
                        method.name,
                        error,
                    )
    assert counted == 195
