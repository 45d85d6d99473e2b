"""The D-Bus service beside a mock engine, called by clients that users have."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType

from frontinus.api.views import GuestView
from frontinus_dbus import service as serving
from support.bus import TEST, Bus, CallFailed, Rig, ask, data, listen, program, service
from support.waiting import until

pytestmark = pytest.mark.needs("dbus-daemon")
NEW = """<domain type='qemu'><name>fresh</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
<memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""
FRESH = "_11111111_2222_3333_4444_555555555555"
NOBODY = 65534


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="frontinus-test-") as folder:  # other users pass through it
        async with service(Path(folder), guests=2) as made:
            yield made


# --- org.libvirt


@pytest.mark.needs("busctl")
async def test_busctl_drives_a_guest_through_its_life(rig: Rig) -> None:
    connect, guest = ["org.libvirt", "/org/libvirt/Test", "org.libvirt.Connect"], rig.guest(FRESH)

    async def call(*words: str) -> object:
        code, said = await rig.bus.busctl("--json=short", "call", "org.libvirt", *words)
        assert code == 0, said
        return data(said) if said else None

    assert await call(*connect[1:], "DomainDefineXML", "s", NEW) == [guest]
    assert guest in (await call(*connect[1:], "ListDomains", "u", "2"))[0]
    domain = [guest, "org.libvirt.Domain"]
    state = [*domain, "GetState", "u", "0"]
    await call(*domain, "Create", "u", "1")
    assert await call(*state) == [[3, 11]] or await call(*state) == [[3, 1]]
    await call(*domain, "Resume")
    assert await call(*state) == [[1, 5]]
    await call(*domain, "Suspend")
    assert await call(*state) == [[3, 1]]
    await call(*domain, "ManagedSave", "u", "0")
    assert await call(*state) == [[5, 5]]
    assert await call(*domain, "HasManagedSaveImage", "u", "0") == [True]
    await call(*domain, "ManagedSaveRemove", "u", "0")
    await call(*domain, "Create", "u", "0")
    await call(*domain, "Destroy", "u", "0")
    assert await call(*state) == [[5, 2]]
    await call(*domain, "Undefine", "u", "0")
    code, said = await rig.bus.busctl("call", "org.libvirt", *state)
    assert code == 1 and "Domain not found: no domain with matching uuid" in said


@pytest.mark.needs("gdbus")
async def test_gdbus_sees_variants_in_variants_where_libvirts_clients_do(rig: Rig) -> None:
    async def call(path: str, method: str, *words: str) -> str:
        code, said = await rig.bus.gdbus("org.libvirt", path, method, *words)
        assert code == 0, said
        return said

    everything = await call(rig.guest(), "org.freedesktop.DBus.Properties.GetAll", "org.libvirt.Domain")
    assert "'Name': <<'test'>>" in everything and "'Active': <<true>>" in everything
    assert await call(rig.guest(), "org.freedesktop.DBus.Properties.Get", "org.libvirt.Domain", "Name") == "(<'test'>,)"
    assert "'state.state': <<1>>" in await call(rig.guest(), "org.libvirt.Domain.GetStats", "1", "0")
    stats = await call("/org/libvirt/Test", "org.libvirt.Connect.GetAllDomainStats", "8", "0")
    assert "('test', {'vcpu.current': <<uint32 2>>, 'vcpu.maximum': <<uint32 2>>" in stats and "'guest-00001'" in stats
    assert "<<" not in await call("/org/frontinus1", "org.freedesktop.DBus.ObjectManager.GetManagedObjects")


@pytest.mark.needs("busctl")
async def test_a_guest_is_reached_by_what_introspection_says(rig: Rig) -> None:
    code, tree = await rig.bus.busctl("tree", "--list", "org.libvirt")
    assert code == 0 and rig.guest() in tree and f"/org/frontinus1/guest/{TEST}" in tree
    code, shown = await rig.bus.busctl("introspect", "org.libvirt", rig.guest(), "org.libvirt.Domain")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:4] for line in shown.splitlines()[1:]}
    assert rows[".SendKey"] == ["method", "uuauu", "-"] and rows[".Autostart"][:2] == ["property", "b"]


async def test_lookups(rig: Rig) -> None:
    for method, signature, value in (("DomainLookupByName", "s", "test"), ("DomainLookupByID", "i", 1),
                                     ("DomainLookupByUUID", "s", "6695eb01-f6a4-8304-79aa-97f2502e193f")):  # fmt: skip
        assert await rig.call(f"org.libvirt.Connect.{method}", signature, value) == [rig.guest()], method
    for method, signature, value in (("DomainLookupByName", "s", "no"), ("DomainLookupByID", "i", 99)):
        with pytest.raises(CallFailed, match=r"^org\.libvirt\.Error: Domain not found"):
            await rig.call(f"org.libvirt.Connect.{method}", signature, value)


@pytest.mark.parametrize(("flags", "names"), [
    (0, {"test", "guest-00000", "guest-00001"}), (1, {"test", "guest-00000"}), (2, {"guest-00001"}), (1 | 2, {"test", "guest-00000",
     "guest-00001"}), (32, {"guest-00000"}), (16 | 64, {"test", "guest-00001"}), (8, set()), (1 | 1024, {"test"}),
])  # fmt: skip
async def test_a_list_is_what_its_flags_choose(rig: Rig, flags: int, names: set[str]) -> None:
    await rig.engine.suspend("guest-00000")
    await rig.engine.destroy("guest-00001")
    await rig.engine.set_autostart("test", True)
    await caught_up(rig)
    (paths,) = await rig.call("org.libvirt.Connect.ListDomains", "u", flags)
    shown = {(await rig.call("org.freedesktop.DBus.Properties.Get", "ss", "org.libvirt.Domain", "Name", path=p))[0].value
             for p in paths}  # fmt: skip
    assert shown == names


async def test_what_cannot_be_done_says_so(rig: Rig) -> None:
    for method, signature, body, path in (
        ("org.libvirt.Connect.ListInterfaces", "u", [0], ""),
        ("org.libvirt.Domain.MigrateStartPostCopy", "u", [0], ""),
        ("org.libvirt.NodeDevice.Reset", "", [], "/org/libvirt/Test/nodedev/computer"),
    ):
        with pytest.raises(CallFailed, match=r"^org\.libvirt\.Error: this function is not supported by the connection"):
            await rig.call(method, signature, *body, path=path)


async def test_mistakes_have_the_standard_names(rig: Rig) -> None:
    standard = "org.freedesktop.DBus.Error."
    for name, method, signature, body, path in (
        ("UnknownMethod", "org.libvirt.Domain.Fly", "", [], ""),
        ("UnknownMethod", "org.nobody.Domain.Suspend", "", [], ""),
        ("InvalidArgs", "org.libvirt.Domain.GetState", "s", ["0"], ""),
        ("UnknownObject", "org.libvirt.Connect.ListDomains", "u", [0], "/org/libvirt/Nothing"),
        ("UnknownInterface", "org.freedesktop.DBus.Properties.GetAll", "s", ["org.nobody"], "/org/libvirt/Test"),
        ("UnknownProperty", "org.freedesktop.DBus.Properties.Get", "ss", ["org.libvirt.Connect", "X"], ""),
    ):
        with pytest.raises(CallFailed) as failed:
            await rig.call(method, signature, *body, path=path)
        assert failed.value.name == standard + name, method
    with pytest.raises(CallFailed, match="unsupported flags"):
        await rig.call("org.libvirt.Domain.GetState", "u", 64)


async def test_a_guest_that_is_not_there_is_as_empty_as_libvirts(rig: Rig) -> None:
    bogus = "/org/libvirt/Test/domain/_bogus"
    assert await rig.call("org.freedesktop.DBus.Properties.GetAll", "s", "org.libvirt.Domain", path=bogus) == [{}]
    with pytest.raises(CallFailed, match="Invalid UUID"):
        await rig.call("org.libvirt.Domain.Suspend", path=bogus)


async def test_events_become_signals(rig: Rig) -> None:
    async with rig.bus.client() as client:
        signals = await listen(client, "type='signal',sender='org.libvirt'")
        await rig.engine.suspend("test")
        event = await signals.next("DomainEvent")
        assert (event.path, event.interface, event.body) == (
            "/org/libvirt/Test",
            "org.libvirt.Connect",
            [rig.guest(), 3, 0],
        )
        await rig.engine.resume("test")
        assert (await signals.next("DomainEvent")).body == [rig.guest(), 4, 0]
        await rig.engine.set_metadata("test", "element", "<a/>", "k", "http://x/")
        change = await signals.next("MetadataChange")
        assert (change.path, change.body) == (rig.guest(), [2, "http://x/"])
        await rig.engine.set_memory("test", 2**30)
        assert (await signals.next("BalloonChange")).body == [2**20]
        await rig.engine.reset("test")
        assert (await signals.next("Reboot")).path == rig.guest()


async def test_settings(rig: Rig) -> None:
    domain = "org.libvirt.Domain."
    await rig.call(domain + "SetMetadata", "isssu", 1, "a title", "", "", 0)
    assert await rig.call(domain + "GetMetadata", "isu", 1, "", 0) == ["a title"]
    await rig.call(domain + "SetMetadata", "isssu", 1, "", "", "", 0)
    with pytest.raises(CallFailed, match="metadata not found"):
        await rig.call(domain + "GetMetadata", "isu", 1, "", 0)
    await rig.call(domain + "SetMemory", "tu", 2**20, 1)
    await rig.call(domain + "SetVcpus", "uu", 1, 2)
    assert (await rig.engine.guest("test")).memory == 2**30
    assert await rig.call(domain + "GetVcpus", "u", 2) == [1]
    assert await rig.call(domain + "GetVcpus", "u", 4 | 1) == [2]
    assert (await rig.call(domain + "MemoryStats", "u", 0))[0][6] == 2**20
    assert await rig.call(domain + "GetJobInfo") == [(0,) * 12]


# --- org.frontinus1


async def test_the_world_in_one_call(rig: Rig) -> None:
    (world,) = await rig.call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", path="/org/frontinus1")
    guest = world[f"/org/frontinus1/guest/{TEST}"]["org.frontinus1.Guest"]
    assert guest["Name"].value == "test" and guest["Memory"].value == 2 * 2**30 and guest["State"].value == "running"
    assert world["/org/frontinus1"]["org.frontinus1.Manager"]["Hypervisor"].value == "Test"
    assert len([path for path in world if path.startswith("/org/frontinus1/guest/")]) == 3


async def test_objects_and_properties_tell_their_changes(rig: Rig) -> None:
    async with rig.bus.client() as client:
        signals = await listen(client, "type='signal',sender='org.frontinus1'")
        (path,) = await ask(
            client, "org.frontinus1", "/org/frontinus1", "org.frontinus1.Manager.Define", "sb", NEW, False
        )
        added = await signals.next("InterfacesAdded")
        assert path == f"/org/frontinus1/guest/{FRESH}"
        assert added.body[0] == path and added.body[1]["org.frontinus1.Guest"]["State"].value == "shutoff"
        await ask(client, "org.frontinus1", path, "org.frontinus1.Guest.Start", "bb", False, False)
        changed = await signals.next("PropertiesChanged")
        assert changed.path == path and changed.body[1]["State"].value == "running" and "Name" not in changed.body[1]
        while (life := await signals.next("Lifecycle")).body != ["started", "booted"]:
            pass
        assert life.path == path
        await ask(client, "org.frontinus1", path, "org.frontinus1.Guest.Destroy", "b", False)
        await ask(client, "org.frontinus1", path, "org.frontinus1.Guest.Undefine", "bs", False, "")
        assert (await signals.next("InterfacesRemoved")).body == [path, ["org.frontinus1.Guest"]]
        with pytest.raises(CallFailed) as failed:
            await ask(client, "org.frontinus1", path, "org.frontinus1.Guest.Suspend")
        assert failed.value.name.endswith("UnknownObject")


async def test_errors_have_names(rig: Rig) -> None:
    for name, method, signature, body in (("NoSuchGuest", "Manager.Find", "s", ["no"]),
                                          ("InvalidXML", "Manager.Define", "sb", ["<domain>", False])):  # fmt: skip
        with pytest.raises(CallFailed) as failed:
            await rig.call(f"org.frontinus1.{method}", signature, *body, path="/org/frontinus1")
        assert failed.value.name == f"org.frontinus1.Error.{name}"
    with pytest.raises(CallFailed) as failed:
        await rig.call("org.frontinus1.Guest.Start", "bb", False, False, path=f"/org/frontinus1/guest/{TEST}")
    assert failed.value.name == "org.frontinus1.Error.WrongState"


async def test_a_job_is_an_object_while_it_runs(rig: Rig) -> None:
    async with rig.bus.client() as client:
        signals = await listen(client, "type='signal',sender='org.frontinus1',member='InterfacesAdded'")
        gone = await listen(client, "type='signal',sender='org.frontinus1',member='InterfacesRemoved'")
        await rig.engine.managed_save("test")
        added = await signals.next("InterfacesAdded")
        assert added.body[1]["org.frontinus1.Job"]["Kind"].value == "save"
        assert (await gone.next("InterfacesRemoved")).body == [added.body[0], ["org.frontinus1.Job"]]


# --- who may do what


@pytest.mark.needs("busctl", "root", "setpriv")
async def test_others_read_and_change_nothing(rig: Rig) -> None:
    guest = ["org.libvirt", rig.guest()]
    for words in (["get-property", *guest, "org.libvirt.Domain", "Name"], ["call", *guest, "org.libvirt.Domain", "GetStats", "uu",
                  "0", "0"], ["call", *guest, "org.libvirt.Domain", "GetXMLDesc", "u", "0"]):  # fmt: skip
        assert (await rig.bus.busctl(*words, user=NOBODY))[0] == 0
    for words in (["call", *guest, "org.libvirt.Domain", "Destroy", "u", "0"],
                  ["call", *guest, "org.libvirt.Domain", "GetXMLDesc", "u", "1"],
                  ["set-property", *guest, "org.libvirt.Domain", "Autostart", "b", "true"]):  # fmt: skip
        code, said = await rig.bus.busctl(*words, user=NOBODY)
        assert code == 1 and "access denied" in said, words
    path = f"/org/frontinus1/guest/{TEST}"
    code, said = await rig.bus.busctl("call", "org.frontinus1", path, "org.frontinus1.Guest", "Suspend", user=NOBODY)
    assert code == 1 and "not permitted to uid 65534" in said
    view = await rig.engine.guest("test")
    assert view.state == "running" and not view.autostart


@pytest.mark.needs("busctl", "root", "setpriv")
async def test_the_sockets_group_manages(rig: Rig) -> None:
    socket = rig.folder / "frontinus.sock"
    os.chown(socket, 0, NOBODY)
    for mode, code in ((0o600, 1), (0o660, 0)):
        socket.chmod(mode)
        words = ["call", "org.libvirt", rig.guest(), "org.libvirt.Domain", "Reset", "u", "0"]
        assert (await rig.bus.busctl(*words, user=NOBODY))[0] == code


# --- what it survives


async def test_it_comes_back_with_the_engine(rig: Rig) -> None:
    async with rig.bus.client() as client:
        signals = await listen(client, "type='signal',sender='org.libvirt'")
        rig.close()
        await until(lambda: not rig.world.connected)
        with pytest.raises(CallFailed, match="cannot be reached"):
            await rig.call("org.libvirt.Connect.ListDomains", "u", 0)
        await rig.engine.suspend("test")
        rig.open()
        assert (await signals.next("DomainEvent")).body == [rig.guest(), 3, 0]
        assert await rig.call("org.libvirt.Domain.GetState", "u", 0) == [(3, 1)]


async def test_it_comes_back_with_the_bus(rig: Rig) -> None:
    await rig.bus.stop()
    await rig.bus.start()
    await rig.bus.named("org.libvirt")
    assert await rig.call("org.libvirt.Domain.GetState", "u", 0) == [(1, 1)]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


MADE = "<domain type='test'><name>made</name><memory>65536</memory><os><type arch='x86_64'>hvm</type></os></domain>"


def with_files(path: str, interface: str, member: str, signature: str, body: list[object], fds: list[int]) -> Message:
    return Message(destination="org.libvirt", path=path, interface=interface, member=member, signature=signature, body=body,
                   unix_fds=fds)  # fmt: skip


async def test_descriptors_that_nobody_asked_for_are_closed(rig: Rig) -> None:
    before = descriptors()
    async with rig.bus.client(fds=True) as client:
        with Path("/dev/null").open() as null:  # noqa: ASYNC230
            for number in range(20):
                root, connect, create = "/org/libvirt/Test", "org.libvirt.Connect", "DomainCreateXMLWithFiles"
                for message in (
                    with_files(root, connect, "ListDomains", "u", [0], [null.fileno()] * 2),
                    with_files(root, connect, create, "sahu", ["<x/>", [0], 0], [null.fileno()]),
                    with_files(root, connect, create, "sahu", ["<x/>", [1], 0], [null.fileno()]),
                    with_files(root, connect, create, "su", ["<x/>", 0], [null.fileno()]),
                    with_files(f"{root}/nothing", connect, f"No{number}", "", [], [null.fileno()]),
                ):
                    await client.call(message)
    await until(lambda: descriptors() <= before)


async def test_a_client_hands_files_over_at_start(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[list[bytes]] = []
    start = rig.local.power.start_with_files

    async def starting(guest: str, files: Sequence[int], flags: Sequence[str] = ()) -> GuestView:
        seen.append([os.pread(fd, 100, 0) for fd in files])
        return await start(guest, files, flags)  # type: ignore[arg-type]

    monkeypatch.setitem(rig.local._use_cases, "start_with_files", starting)
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"second")
    before = descriptors()
    async with rig.bus.client(fds=True) as client:
        with (tmp_path / "a").open() as a, (tmp_path / "b").open() as b:
            files = [a.fileno(), b.fileno()]
            made = await client.call(with_files("/org/libvirt/Test", "org.libvirt.Connect", "DomainCreateXMLWithFiles", "sahu",
                                                [MADE, [0, 1], 1], files))  # fmt: skip
            assert made.message_type is MessageType.METHOD_RETURN, made.body
            assert (await rig.engine.guest("made")).state == "paused"
            await rig.engine.destroy("test")
            reply = await client.call(
                with_files(rig.guest(), "org.libvirt.Domain", "CreateWithFiles", "ahu", [[1, 0], 0], files)
            )
            assert reply.message_type is MessageType.METHOD_RETURN, reply.body
            assert seen == [[b"second", b"first"]] and (await rig.engine.guest("test")).state == "running"
            monkeypatch.setattr(rig.local.world.hypervisor, "takes_files", False)
            refused = await client.call(
                with_files(rig.guest(), "org.libvirt.Domain", "CreateWithFiles", "ahu", [[0], 0], files)
            )
            assert refused.error_name == "org.libvirt.Error" and "containers" in refused.body[0]
            wrong = await client.call(
                with_files(rig.guest(), "org.libvirt.Domain", "CreateWithFiles", "ahu", [[2], 0], files)
            )
            assert wrong.error_name == "org.freedesktop.DBus.Error.InvalidArgs"
    await until(lambda: descriptors() <= before)


# --- the program


async def test_a_session_without_an_engine_shows_the_mock(tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    await bus.start()
    try:
        began = time.monotonic()
        async with program(bus, tmp_path, "--session") as process:
            await bus.named("org.libvirt")
            took = time.monotonic() - began
            async with bus.client() as client:
                (paths,) = await ask(
                    client, "org.libvirt", "/org/libvirt/Test", "org.libvirt.Connect.ListDomains", "u", 0
                )
                assert paths == [f"/org/libvirt/Test/domain/{TEST}"]
            print(f"names owned after {took:.2f} s")
        assert process.returncode == 0
    finally:
        await bus.stop()


async def test_without_a_bus_it_says_so_once_and_waits_for_it(tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    async with program(bus, tmp_path, "--session") as process:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b"cannot serve" not in await process.stderr.readline():
                pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):  # it tries again meanwhile, and is silent
                await process.stderr.readline()
        await bus.start()
        try:
            await bus.named("org.libvirt")
        finally:
            await bus.stop()


@pytest.mark.parametrize("options", [["--socket", "/nowhere/x.sock", "--monitor-socket", "/nowhere/y.sock"]])
async def test_beside_an_engine_without_any_bus_it_waits_for_its_end(tmp_path: Path, options: list[str]) -> None:
    words = [str(Path(sys.executable).with_name("frontinus-dbus")), *options]
    process = await asyncio.create_subprocess_exec(
        *words, stderr=asyncio.subprocess.PIPE, env={"PATH": os.environ["PATH"]}
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        assert b"there is no bus to serve on" in await process.stderr.readline()
        process.terminate()
        assert await process.wait() == 0
        assert await process.stderr.read() == b""


async def caught_up(rig: Rig) -> None:
    await until(lambda: rig.world.model.generation >= rig.local.world.bus.generation)


async def test_a_host_without_a_number_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "second").write_text("0123\n")
    for files, expected in ((["first", "second"], "0123"), (["first"], None)):
        monkeypatch.setattr(serving, "MACHINE", [str(tmp_path / name) for name in files])
        try:
            assert await rig.call("org.freedesktop.DBus.Peer.GetMachineId") == [expected]
        except CallFailed as error:
            assert expected is None and error.name == "org.frontinus1.Error.HostFailed"
