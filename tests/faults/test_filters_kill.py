"""A real guest's filter through all that happens to a daemon: kill -9, a restart, changes, somebody's flush, a re-attach.

The test takes a copy of QEMU's own descriptor of the tap: what it writes there, the guest sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Disconnected, WrongState
from support import traces
from support.ending import end_all
from support.namespaces import own_network
from support.packets import GUEST, PARAMETERS, TENANT, Wire
from support.waiting import eventually, until
from trial import Daemon

pytestmark = [pytest.mark.needs("qemu-system-x86_64", "ip", "nft"), pytest.mark.timeout(600)]
PIDFD_GETFD = 438
VALUES = "".join(f"<parameter name='{name}' value='{value}'/>" for name, value in PARAMETERS)
NIC = (f"<interface type='bridge'><mac address='{GUEST}'/><source bridge='br0'/><model type='e1000'/>"
       f"<filterref filter='{{filter}}'>{VALUES}</filterref></interface>")  # fmt: skip
XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{nic}</devices></domain>"""


def rules() -> str:
    """What the bridge family has in this network."""
    shown = subprocess.run(["nft", "-j", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    found = [one for one in json.loads(shown)["nftables"] if "metainfo" not in one]
    return json.dumps([one for one in found if next(iter(one.values())).get("family") == "bridge"])


def tap_of(folder: Path) -> int:
    """A copy of the descriptor of the tap that the one guest of a daemon holds."""
    pid = traces.qemu(folder)
    (number,) = [fd for fd, name in traces.opened(pid).items() if name == "/dev/net/tun"]
    process = os.pidfd_open(pid)
    try:
        fd = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, number, 0)
        assert fd >= 0, os.strerror(ctypes.get_errno())
        return int(fd)
    finally:
        os.close(process)


class Scene:
    """A guest with a filter, a wire that its tap is on, and a daemon that comes and goes."""

    def __init__(self, place: Path) -> None:
        self.daemon = Daemon(place)
        self.wire = Wire()

    async def begin(self) -> None:
        await self.daemon.start()
        async with self.daemon.engine() as engine:
            await engine.define_filter(TENANT)
            await engine.define(XML.format(name="web", nic=NIC.format(filter="tenant")))
            await engine.start("web", paused=True)
        self.take_tap()

    def take_tap(self) -> None:
        self.wire.join(tap_of(self.daemon.folder))

    def let_tap_go(self) -> None:
        os.close(self.wire.tap)

    async def holds(self) -> None:
        assert await self.wire.wrong() == []

    async def while_(self, work: Callable[[], Awaitable[object]]) -> None:
        """The filter holds all the time that something goes on."""
        going = asyncio.ensure_future(work())
        while not going.done():
            await self.holds()
            await asyncio.sleep(0)
        await going

    async def end(self) -> None:
        self.let_tap_go()
        async with self.daemon.engine() as engine:
            await engine.destroy("web")
            assert await engine.filter_bindings() == []
        assert rules() == "[]"
        await self.daemon.stop()


@own_network
async def test_a_guest_is_filtered_whatever_happens_to_the_daemon(place: Path) -> None:
    scene = Scene(place)
    await scene.begin()
    await scene.holds()
    before = rules()

    await scene.daemon.kill()
    assert rules() == before
    await scene.holds()
    await scene.while_(scene.daemon.start)
    await scene.holds()

    async def change(engine: Engine) -> None:
        for priority in (-690, -680, -650):
            await engine.define_filter(TENANT.replace("priority='-650'", f"priority='{priority}'"))
        await engine.update_device("web", NIC.format(filter="tenant").replace("</filterref>", "<parameter name='IP' "
                                   "value='192.0.2.99'/></filterref>"), live=True)  # fmt: skip

    async with scene.daemon.engine() as engine:
        await scene.while_(lambda: change(engine))
        assert "192.0.2.99" in (await engine.filter_binding("vnet0")).addresses
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        await until(lambda: "vnet0/from/mac" in rules())
        await scene.holds()

        scene.let_tap_go()
        await engine.managed_save("web")
        assert rules() == "[]"
        await engine.start("web", paused=True)
        scene.take_tap()
    await scene.holds()
    await scene.end()


@own_network
async def test_a_flush_while_the_daemon_is_away_is_made_good_at_its_start(place: Path) -> None:
    scene = Scene(place)
    await scene.begin()
    await scene.daemon.kill()
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    assert await scene.wire.wrong() != []
    await scene.daemon.start()
    await scene.holds()
    await scene.end()


@own_network
async def test_no_rule_is_left_over_by_a_daemon_that_is_killed_at_any_moment(place: Path) -> None:
    dice = random.Random(7)
    subprocess.run(["ip", "link", "add", "br0", "type", "bridge"], check=True)
    daemon = Daemon(place)
    await daemon.start()
    async with daemon.engine() as engine:
        for number in range(3):
            await engine.define(
                XML.format(
                    name=f"g{number}",
                    nic=NIC.format(filter="clean-traffic").replace(GUEST, f"52:54:00:00:01:0{number}"),
                )
            )
    for _ in range(4):

        async def churn() -> None:
            async with daemon.engine() as engine:
                while True:
                    for guest in await engine.guests():
                        with contextlib.suppress(WrongState):  # it was told to end by an engine that was killed then
                            await (
                                engine.destroy(guest.uuid) if guest.active else engine.start(guest.uuid, paused=True)
                            )

        churning = asyncio.ensure_future(churn())
        await asyncio.sleep(dice.uniform(0.1, 0.8))
        await daemon.kill()
        with pytest.raises(Disconnected):
            await churning
        await daemon.start()
        async with daemon.engine() as engine:

            async def fits() -> bool:  # in the end: a guest that was told to end may do so now
                links = {one.link for one in await engine.filter_bindings()}
                owners = {name.split("/")[0] for name in rules().split('"') if "/" in name}
                return owners == links and len(links) == len(await engine.guests(active=True))

            await eventually(fits, "a rule has no NIC, or a NIC no rules")
    async with daemon.engine() as engine:
        await end_all(engine)
        await until(lambda: rules() == "[]")
    await daemon.stop()
