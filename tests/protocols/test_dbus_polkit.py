"""Who may do what, where polkit decides: lists, the world in one call and signals show each caller its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from dbus_fast import Message, MessageFlag

from frontinus.linux.polkit import Polkit
from support.bus import TEST, Bus, CallFailed, Rig, Signals, ask, listen, service
from support.polkit import FakePolkit
from support.real import place

__all__ = ["place"]
pytestmark = pytest.mark.needs("dbus-daemon", "root")
NOBODY, OTHER = 65534, 65533
CONNECT, MANAGER = "/org/libvirt/Test", "/org/frontinus1"
WORLD = "org.freedesktop.DBus.ObjectManager.GetManagedObjects"


def reads(action: str, details: Mapping[str, str]) -> bool | None:
    """What libvirt's own actions say by default: reading yes, changing no; ours are not registered."""
    return action.rpartition(".")[2] in ("getattr", "read") or "search" in action if "libvirt" in action else None


def hidden(action: str, details: Mapping[str, str]) -> bool | None:
    """The same, but for the first guest of the crowd, which nobody sees, and the mock's own, which may be started."""
    if details.get("domain_name") == "guest-00000":
        return False
    if details.get("domain_name") == "test" and action in (
        "org.libvirt.api.domain.suspend",
        "org.libvirt.api.domain.start",
    ):
        return True
    return reads(action, details)


@pytest.fixture
async def rig(place: Path) -> AsyncIterator[Rig]:
    async with service(place, guests=3, policy=lambda address: Polkit(address, managers=7)) as rig:
        yield rig


@pytest.fixture
async def authority(rig: Rig) -> AsyncIterator[FakePolkit]:
    fake = FakePolkit(rig.bus.address, hidden)
    await fake.start()
    yield fake
    fake.stop()


async def names(client: object) -> set[str]:
    """The guests that a client is shown, by each way of asking."""
    (paths,) = await ask(client, "org.libvirt", CONNECT, "org.libvirt.Connect.ListDomains", "u", 0)  # type: ignore[arg-type]
    (world,) = await ask(client, "org.frontinus1", MANAGER, WORLD)  # type: ignore[arg-type]
    shown = {facts["org.frontinus1.Guest"]["Name"].value for facts in world.values() if "org.frontinus1.Guest" in facts}
    assert len(paths) == len(shown)
    return shown


async def test_everyone_sees_what_the_rules_let_them(rig: Rig, authority: FakePolkit) -> None:
    async with rig.bus.client(user=NOBODY) as nobody, rig.bus.client() as root:
        assert await names(nobody) == {"test", "guest-00001", "guest-00002"}
        assert await names(root) == {"test", "guest-00000", "guest-00001", "guest-00002"}
        (found,) = await ask(root, "org.libvirt", CONNECT, "org.libvirt.Connect.DomainLookupByName", "s", "guest-00000")
        with pytest.raises(CallFailed, match="Domain not found"):
            await ask(nobody, "org.libvirt", CONNECT, "org.libvirt.Connect.DomainLookupByName", "s", "guest-00000")
        with pytest.raises(CallFailed, match="Domain not found"):
            await ask(nobody, "org.libvirt", found, "org.libvirt.Domain.GetXMLDesc", "u", 0)
        (stats,) = await ask(nobody, "org.libvirt", CONNECT, "org.libvirt.Connect.GetAllDomainStats", "uu", 1, 0)
        assert {name for name, _ in stats} == {"test", "guest-00001", "guest-00002"}
    assert all(details["connect_driver"] == "Test" for action, details in authority.asked if "domain" in details)


async def test_a_rule_lets_a_user_change_one_guest_and_no_other(rig: Rig, authority: FakePolkit) -> None:
    async with rig.bus.client(user=NOBODY) as nobody:
        await ask(nobody, "org.libvirt", rig.guest(), "org.libvirt.Domain.Suspend")
        assert (await rig.engine.guest("test")).state == "paused"
        with pytest.raises(CallFailed, match="access denied"):
            await ask(nobody, "org.libvirt", rig.guest(), "org.libvirt.Domain.Destroy", "u", 0)
        other = (await rig.engine.guest("guest-00001")).uuid.replace("-", "_")
        with pytest.raises(CallFailed, match="access denied"):
            await ask(nobody, "org.libvirt", rig.guest(f"_{other}"), "org.libvirt.Domain.Suspend")
    assert ("org.frontinus1.api.domain.suspend", {"domain_name": "test", "domain_uuid": TEST[1:].replace("_", "-"),
                                                  "connect_driver": "Test"}) in authority.asked  # fmt: skip


async def test_signals_go_to_those_who_may_see_the_guest(rig: Rig, authority: FakePolkit) -> None:
    async with rig.bus.client(user=NOBODY) as nobody, rig.bus.client() as root:
        to_nobody, to_root = await listen(nobody), await listen(root)
        assert len(await names(nobody)) == 3 and len(await names(root)) == 4
        for name in ("guest-00000", "guest-00001"):
            await rig.engine.suspend(name)
        hidden_path, shown_path = [f"/org/libvirt/Test/domain/_{(await rig.engine.guest(n)).uuid.replace('-', '_')}"
                                   for n in ("guest-00000", "guest-00001")]  # fmt: skip
        assert [(await to_root.next("DomainEvent")).body[0] for _ in range(2)] == [hidden_path, shown_path]
        assert (await to_nobody.next("DomainEvent")).body[0] == shown_path
        assert await _quiet(to_nobody, "DomainEvent")


async def _quiet(signals: Signals, member: str) -> bool:
    return all(message.member != member for message in list(signals.heard._queue))  # type: ignore[attr-defined]


async def test_answers_are_remembered_until_the_rules_change(rig: Rig, authority: FakePolkit) -> None:
    async with rig.bus.client(user=NOBODY) as nobody:
        signals = await listen(nobody)
        assert len(await names(nobody)) == 3
        before = len(authority.asked)
        assert len(await names(nobody)) == 3
        async with rig.bus.client(user=NOBODY) as again:
            assert len(await names(again)) == 3
        assert len(authority.asked) == before, "the same user's reading was asked for again"
        await authority.change(reads)
        added = await signals.next("InterfacesAdded")
        assert added.body[1]["org.frontinus1.Guest"]["Name"].value == "guest-00000"
        assert len(await names(nobody)) == 4
        await authority.change(hidden)
        await signals.next("InterfacesRemoved")
        assert len(await names(nobody)) == 3


async def test_without_an_authority_only_root_and_the_group_go_on(rig: Rig) -> None:
    with pytest.raises(CallFailed):
        async with rig.bus.client(user=NOBODY) as nobody:
            await names(nobody)
    async with rig.bus.client() as root:
        assert len(await names(root)) == 4
        await ask(root, "org.libvirt", rig.guest(), "org.libvirt.Domain.Suspend")


async def test_who_may_be_asked_is_asked(rig: Rig, authority: FakePolkit) -> None:
    async with rig.bus.client(user=NOBODY) as nobody:
        await names(nobody)
        assert set(authority.flags) == {0}
        await nobody.call(Message(destination="org.libvirt", path=rig.guest(), interface="org.libvirt.Domain",
                                  member="Destroy", signature="u", body=[0],
                                  flags=MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION))  # fmt: skip
        assert 1 in authority.flags


async def test_an_audience_goes_on_without_the_client_that_began_it(rig: Rig, authority: FakePolkit) -> None:
    async with rig.bus.client(user=NOBODY) as second:
        async with rig.bus.client(user=NOBODY) as first:
            assert len(await names(first)) == len(await names(second)) == 3
        signals = await listen(second)
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            while True:  # the stream in the second's name may begin a moment later
                await rig.engine.suspend("test")
                if (await names(second)) and not await _quiet(signals, "DomainEvent"):
                    break
                await rig.engine.resume("test")


async def test_an_authority_that_goes_and_comes(rig: Rig, place: Path) -> None:
    bus: Bus = rig.bus
    async with rig.bus.client(user=NOBODY) as nobody:
        with pytest.raises(CallFailed):
            await names(nobody)
        fake = FakePolkit(bus.address, reads)
        await fake.start()
        async with asyncio.timeout(60):
            while True:
                try:
                    assert len(await names(nobody)) == 4
                    break
                except CallFailed:
                    await asyncio.sleep(0.1)
        fake.stop()


@pytest.mark.needs("pkcheck", "unshare", "setpriv")
async def test_the_real_polkit_reads_what_install_service_writes(place: Path) -> None:
    """In a mount namespace of its own, with one rule in libvirt's names: it opens one guest and hides another."""
    nobody = await asyncio.create_subprocess_exec(
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "600")  # fmt: skip
    script = Path(__file__).parents[1] / "support/polkit_host.py"
    judge = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "--propagation", "private", sys.executable, str(script), str(place), str(nobody.pid),
        stdout=asyncio.subprocess.PIPE)  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(judge.communicate(), 300)
    finally:
        nobody.kill()
        await nobody.wait()
    assert judge.returncode == 0
    assert json.loads(said.splitlines()[-1]) == {
        "guest web1": True, "guest db1": False, "suspend web1": True, "suspend db1": False, "destroy web1": False,
        "destroy db1": False}  # fmt: skip
