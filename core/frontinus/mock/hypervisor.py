"""The mock hypervisor: guests that live in memory, obey, tell their news, and count.

It passes the same contract tests as QEMU. Counters move with the clock, so a load test of adapters sees figures change.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from frontinus.api.errors import AgentUnavailable, HypervisorFailed, NoSuchProcess, Unresponsive
from frontinus.api.figures import MonitorFigures
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.interface import Interface
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import DevicePlan, LaunchPlan, Tap
from frontinus.domain.usedsecrets import used_secrets
from frontinus.mock.blocks import MockBlocks, MockGraph
from frontinus.mock.capabilities import capabilities
from frontinus.mock.tending import MockTending
from frontinus.ports import Credentials, GuestFacts, GuestFigures, RunRecord
from frontinus.ports.blocks import GraphFacts, JobCommand, JobFacts
from frontinus.ports.hypervisor import Overheard, SecretValues
from frontinus.xml import Model

PIXEL = b"P6\n1 1\n255\n\x20\x40\x80"


class MockGuest(MockTending):
    """A guest of nothing but state. Tests may `tell` news and set `answers` to make it hang."""

    def __init__(self, record: RunRecord, guest: Guest) -> None:
        self.record = record
        self.guest = guest
        super().__init__()
        self.state = "prelaunch"
        self.since = time.time()
        self.memory = guest.current_memory or guest.memory or 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.overheard: Overheard | None = None
        self._news: asyncio.Queue[GuestFacts] = asyncio.Queue()
        self.told = 0
        self.blocks = MockGraph(guest, self.tell)
        self._cpu_before = 0.0
        self.agent: dict[str, object] = {}
        self.asked: list[Mapping[str, object]] = []
        self.dirty_rate: tuple[float, float, int] | None = None

    def tell(self, name: str, **data: object) -> None:
        """Put a piece of news into the stream."""
        self.told += 1
        if self.overheard is not None:
            self.overheard(name.upper(), data, time.time())
        self._news.put_nowait(GuestFacts(name, data, time.time(), self.told))

    async def news(self) -> AsyncIterator[GuestFacts]:
        while True:
            fact = await self._news.get()
            yield fact
            if fact.name == "closed":
                return

    def _enter(self, state: str) -> None:
        if self.state == "running":
            self._cpu_before += time.time() - self.since
        self.state, self.since = state, time.time()

    async def status(self) -> str:
        await self.answers.wait()
        return self.state

    async def resume(self) -> None:
        if self.state != "running":
            self._enter("running")
            self.tell("resumed")

    async def pause(self) -> None:
        if self.state == "running":
            self._enter("paused")
            self.tell("stopped")

    async def powerdown(self) -> None:
        """The mock's guest obeys at once."""
        if self.state == "running":
            self._enter("shutdown")
            self.tell("powerdown")
            self.tell("shutdown", detail="guest")

    async def reset(self) -> None:
        self.tell("reset")

    async def wakeup(self) -> None:
        if self.state != "suspended":
            raise HypervisorFailed("the guest is not suspended")
        self._enter("running")
        self.tell("woken")

    async def inject_nmi(self) -> None:
        return None

    async def quit(self, *, graceful: bool, deadline: float) -> None:
        if self.state != "closed":
            self._enter("closed")
            self.tell("closed", status=0)

    async def send_keys(self, codes: Sequence[str], hold_ms: int | None) -> None:
        return None

    async def screenshot(self, path: str, display: str | None, head: int) -> None:
        target = Path(path)
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(target.write_bytes, PIXEL)

    async def save(self, path: str, fd: int, *, live: bool = False) -> None:
        await self.pause()
        os.write(fd, b"mock state")

    async def take_back(self) -> None:
        return None

    async def saved(self) -> tuple[int, int]:
        return 0, 0

    async def plug(self, plan: DevicePlan, fds: Mapping[int, int]) -> None:
        return None

    async def unplug(self, plan: DevicePlan, deadline: float) -> bool:
        self.tell("device-deleted", device=plan.alias)
        return True

    async def restore_limits(self, names: Sequence[str]) -> None:
        return None

    async def update(self, plan: DevicePlan, fds: Mapping[int, int]) -> None:
        self.blocks.obey(plan)

    async def graph(self) -> GraphFacts:
        return self.blocks.facts()

    async def block_jobs(self) -> list[JobFacts]:
        return list(self.blocks.jobs.values())

    async def steer_job(self, job: str, command: JobCommand) -> None:
        self.blocks.steer(job, command)

    async def set_job_speed(self, job: str, bandwidth: int) -> None:
        self.blocks.set_speed(job, bandwidth)

    async def set_threshold(self, layer: int, size: int) -> None:
        """The mock's guests write beyond any threshold at once."""
        if size:
            self.tell("write-threshold", layer=layer, threshold=size, excess=512)

    async def attempt(self, plans: Sequence[DevicePlan]) -> None:
        for plan in plans:
            self.blocks.obey(plan)

    async def set_balloon(self, size: int) -> None:
        self.memory = size
        self.tell("balloon", actual=size)

    async def set_vcpus(self, count: int) -> None:
        self.vcpus = count

    async def switch_vcpus(self, numbers: Sequence[int], online: bool) -> None:
        self.vcpus += len(numbers) if online else -len(numbers)

    def overhear(self, listener: Overheard) -> None:
        self.overheard = listener

    async def resize_block(self, alias: str, size: int) -> None:
        return None

    async def set_password(self, protocol: str, password: str, expires: str | None) -> None:
        return None

    def figures(self, groups: Sequence[str], deadline: float) -> Awaitable[GuestFigures]:
        if not self.answers.is_set():
            return self._late_figures(groups, deadline)
        told: asyncio.Future[GuestFigures] = asyncio.get_running_loop().create_future()
        told.set_result(self._figures(groups))
        return told

    async def _late_figures(self, groups: Sequence[str], deadline: float) -> GuestFigures:
        try:
            async with asyncio.timeout(deadline):
                await self.answers.wait()
        except TimeoutError:
            raise Unresponsive(f"the mock guest did not answer within {deadline:g} s") from None
        return self._figures(groups)

    def _figures(self, groups: Sequence[str]) -> GuestFigures:
        """Figures that grow with the time that the guest has run."""
        now = time.time()
        ran = self._cpu_before + (now - self.since if self.state == "running" else 0)
        devices, busy = self.guest.devices, int(ran * 1e8)
        here = self.guest.vcpu_current or self.guest.vcpus or 1
        figures = GuestFigures(taken=now)
        if "cpu" in groups:
            figures.cpu = {"time": busy, "user": busy // 2, "system": busy // 4}
        if "vcpu" in groups:
            figures.vcpus = {n: {"time": busy, "wait": busy // 100, "delay": busy // 200} for n in range(here)}
        if "memory" in groups:
            figures.memory = {"current": self.memory, "rss": self.memory // 2, "last_update": int(now)}
        if "block" in groups:
            figures.blocks = {d.alias or "": _block(int(ran * 1000)) for d in devices.disks}
        if "interface" in groups:
            figures.interfaces = {i.alias or "": _interface(int(ran * 1000)) for i in devices.interfaces}
        if "dirtyrate" in groups:
            figures.dirty_rate = self.dirty_rate
        return figures

    async def measure_dirty_rate(self, seconds: int, mode: str) -> None:
        self.dirty_rate = (time.time(), float(seconds), 2**20)

    async def device_info(self, kind: str) -> Mapping[str, object]:
        return {}

    async def monitor_command(self, command: str, *, hmp: bool, fds: Sequence[int] = ()) -> str:
        return "" if hmp else json.dumps({"return": {}})

    async def agent_command(self, command: str, deadline: float) -> str:
        """`agent`: answers by command, as a test wants them."""
        asked = json.loads(command) if command.lstrip().startswith("{") else {"execute": command}
        if asked["execute"] in self.agent:
            self.asked.append(asked)
            return json.dumps({"return": self.agent[asked["execute"]]})
        raise AgentUnavailable("the mock's guests run no agent")

    async def detach(self) -> None:
        return None


def _block(n: int) -> dict[str, int]:
    return {"read_bytes": n * 4096, "read_requests": n, "read_time": n * 9000, "write_bytes": n * 2048,
            "write_requests": n // 2, "write_time": n * 5000, "flush_requests": n // 10, "flush_time": n * 700,
            "capacity": 2**33, "allocation": 2**31, "physical": 2**31}  # fmt: skip


def _interface(n: int) -> dict[str, int]:
    return {"rx_bytes": n * 900, "rx_packets": n, "rx_errors": 0, "rx_drops": 0,
            "tx_bytes": n * 700, "tx_packets": n, "tx_errors": 0, "tx_drops": 0}  # fmt: skip


def _look_up(part: Model, values: SecretValues | None) -> None:
    """What would be sealed must be there."""
    if values is not None:
        for use in used_secrets(part):
            values(*use)


class MockHypervisor:
    """Launches mock guests; `guests` are the living by their monitor's name, as a new engine finds them."""

    name = "Test"
    takes_files = True

    def __init__(self) -> None:
        self.guests: dict[str, MockGuest] = {}
        self._pids = itertools.count(1)

    async def capabilities(self, emulator: str | None = None) -> Capabilities:
        return capabilities()

    def traffic(self) -> MonitorFigures:
        return MonitorFigures()

    def describe(self, capabilities: Capabilities, host: HostFacts) -> str:
        listed = capabilities.machines.values()
        machines = "".join(f"      <machine maxCpus='{m.max_cpus}'>{m.name}</machine>\n" for m in listed)
        guest = f"  <guest>\n    <arch name='{capabilities.arch}'>\n{machines}    </arch>\n  </guest>\n"
        arch = f"<arch>{host.arch}</arch>"
        return f"<capabilities>\n  <host>\n    <cpu>\n      {arch}\n    </cpu>\n  </host>\n{guest}</capabilities>\n"

    def describe_guests(self, capabilities: Capabilities, host: HostFacts, machine: str | None = None,
                        virt_type: str | None = None) -> str:  # fmt: skip
        return f"<domainCapabilities>\n  <path>{capabilities.emulator}</path>\n</domainCapabilities>\n"

    def plan(self, guest: Guest, capabilities: Capabilities, host: HostFacts, *, incoming: bool = False,
             secrets: SecretValues | None = None) -> LaunchPlan:  # fmt: skip
        _look_up(guest, secrets)
        folder = host.paths.guest(guest.id or 0, guest.name)
        self._planned = guest
        taps = tuple(
            _tap(card) for card in guest.devices.interfaces if card.type in ("network", "bridge") and card.source
        )  # fmt: skip
        return LaunchPlan((capabilities.emulator, "-name", guest.name), {}, taps, folder, f"{folder}/monitor.sock")

    def plan_device(self, guest: Guest, device: Device, capabilities: Capabilities, host: HostFacts,
                    secrets: SecretValues | None = None) -> DevicePlan:  # fmt: skip
        _look_up(device, secrets)
        taps = (_tap(device),) if isinstance(device, Interface) and device.type in ("network", "bridge") else ()
        return DevicePlan(device.alias or "", taps)

    def plan_update(self, guest: Guest, old: Device, new: Device, capabilities: Capabilities, host: HostFacts,
                    secrets: SecretValues | None = None) -> DevicePlan:  # fmt: skip
        return DevicePlan(new.alias or "")

    def freed_limits(self, guest: Guest, gone: Device) -> Sequence[str]:
        return ()

    def blocks(self, guest: Guest, capabilities: Capabilities, host: HostFacts,
               secrets: SecretValues | None = None) -> MockBlocks:  # fmt: skip
        return MockBlocks()

    async def launch(self, plan: LaunchPlan, fds: Mapping[int, int], who: Credentials | None,
                     incoming: int | None = None, born: Callable[[int], None] | None = None) -> MockGuest:  # fmt: skip
        record = RunRecord(next(self._pids), 0, plan.monitor, None, plan.argv[0], plan.folder)
        if born is not None:
            born(record.pid)
        guest = MockGuest(record, self._planned)
        self.guests = {name: g for name, g in self.guests.items() if g.state != "closed"}
        self.guests[plan.monitor] = guest
        return guest

    async def attach(self, record: RunRecord) -> MockGuest:
        guest = self.guests.get(record.monitor)
        if guest is None or guest.state == "closed":
            raise NoSuchProcess(f"no process {record.pid}")
        return guest

    async def end_strays(self, folder: str) -> None:
        for guest in list(self.guests.values()):
            if guest.record.folder == folder:
                await guest.quit(graceful=False, deadline=1.0)


def _tap(card: Interface) -> Tap:
    bridge = card.source.bridge if card.source else None
    return Tap(
        mac=card.mac or "",
        fds=(),
        name=card.target or "",
        alias=card.alias or "",
        bridge=bridge,
        filter=card.filter_use,
    )
