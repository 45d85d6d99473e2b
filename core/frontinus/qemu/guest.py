"""A guest that runs in a QEMU process: the process, its monitor, its news."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from frontinus.api.errors import AgentUnavailable, HypervisorFailed, Unresponsive, Unsupported
from frontinus.domain.plan import DevicePlan
from frontinus.domain.qapi import Schema
from frontinus.ports.blocks import GraphFacts, JobCommand, JobFacts
from frontinus.ports.hypervisor import JSON, GuestFacts, GuestFigures, Overheard, RunRecord
from frontinus.procfs import ProcessFigures
from frontinus.qemu import blockgraph, migration, passthrough, plugging, vcpus
from frontinus.qemu.blocks import storage_of
from frontinus.qemu.figures import Sampler
from frontinus.qemu.links import LinkCounters
from frontinus.qemu.monitor.agent import agent_command, parse_command
from frontinus.qemu.monitor.client import DEADLINE, Command, Event, Monitor
from frontinus.qemu.monitor.meter import Meter
from frontinus.qemu.news import Translator
from frontinus.qemu.process import Process, describe, raise_limits, restore_limits
from frontinus.qemu.tending import QemuTending

GRACE = 0.05
"""Seconds that a guest to be destroyed has to close its disks before it is killed."""
DRAIN = 0.25
"""Seconds after the end of the process for its last words to be read."""
START_SECONDS = 60.0
TAIL = 4096


CHANGES_DEVICES = frozenset({"DEVICE_DELETED", "DEVICE_TRAY_MOVED", "BLOCK_JOB_COMPLETED", "BLOCK_WRITE_THRESHOLD"})
"""Events after which what is known of disks and CPUs may be wrong."""


class _Status(msgspec.Struct):
    status: str


class _Chardev(msgspec.Struct, rename="kebab"):
    label: str
    filename: str
    frontend_open: bool = False


class QemuGuest(QemuTending):
    """RunningGuest on QEMU."""

    def __init__(self, record: RunRecord, process: Process, links: LinkCounters, log_start: int = 0,
                 meter: Meter | None = None) -> None:  # fmt: skip
        self.record = record
        self.process = process
        self._links = links
        self._meter = meter
        self._log_start = log_start
        self._translator = Translator(record.agent_device)
        self._news: asyncio.Queue[GuestFacts | None] = asyncio.Queue()
        self.told = 0
        self._gone = asyncio.Event()
        self._overheard: Overheard | None = None
        self._agent_lock = asyncio.Lock()
        self._schema: Schema | None = None
        self._counted = ProcessFigures(record.pid)
        self._monitor: Monitor | None = None
        self._sampler: Sampler | None = None

    # --- life

    async def connect(self, commands: Sequence[Command] = (), *, deadline: float = START_SECONDS) -> None:
        """Connect to the monitor, learn what is there, and run the first commands.

        Raises Unresponsive, HypervisorFailed with the last words of a process that ended instead.
        """
        monitor = self._monitor = await Monitor.connect(
            self.record.monitor, self._event, self._monitor_ended, self._meter
        )
        self.process.when_ended(self._process_ended)
        self._sampler = Sampler(monitor, self._counted, self._links, self.record.interfaces, self._translator.nodes)
        learn = self._sampler.refresh()
        try:
            _, *answers = await monitor.negotiate([migration.EVENTS_ON, *learn, *commands], deadline=deadline)
        except HypervisorFailed as error:
            raise HypervisorFailed(self.last_words() or error.message, log=self.log_tail()) from error
        self._sampler.learn(answers[: len(learn)])
        for answer in answers[len(learn) :]:
            answer.value(msgspec.Raw)

    async def reconnect(self) -> None:
        """Connect to a guest of an earlier engine, and tell at once whether its agent is there."""
        await self.connect(deadline=DEADLINE)
        if self.record.agent_device:
            characters = await self.monitor.ask(list[_Chardev], "query-chardev")
            if any(c.frontend_open for c in characters if c.label == f"char{self.record.agent_device}"):
                self._tell(GuestFacts("agent", {"device": self.record.agent_device, "open": True}))

    async def load(self, fd: int) -> None:
        """Read a saved state into the guest, which was launched to wait for it."""
        await migration.restore(self.monitor, fd, self.last_words, await self._own_schema())
        await self._activate()

    @property
    def monitor(self) -> Monitor:
        assert self._monitor is not None, "not connected"
        return self._monitor

    async def quit(self, *, graceful: bool, deadline: float) -> None:
        self.process.kill(signal.SIGTERM)
        if not await self.process.wait(deadline if graceful else GRACE):
            if graceful:
                raise Unresponsive(f"the guest's process did not end within {deadline:g} s")
            self.process.kill(signal.SIGKILL)
            if not await self.process.wait(deadline):
                raise Unresponsive(f"process {self.record.pid} was killed, but did not end within {deadline:g} s")
        if self._monitor is not None:
            await self._gone.wait()

    async def detach(self) -> None:
        self.process.release()
        self._close()
        self._news.put_nowait(None)

    def _close(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
        self._counted.close()

    # --- news

    async def news(self) -> AsyncIterator[GuestFacts]:
        while (fact := await self._news.get()) is not None:
            yield fact
            if fact.name == "closed":
                return

    def _tell(self, fact: GuestFacts) -> None:
        self.told += 1
        self._news.put_nowait(replace(fact, number=self.told))

    def overhear(self, listener: Overheard) -> None:
        self._overheard = listener

    def _event(self, event: Event) -> None:
        if self._overheard is not None:
            self._overheard(event.name, event.data, event.seconds)
        if self._sampler is not None:
            if event.name in CHANGES_DEVICES:
                self._sampler.forget()
            elif event.name == "BALLOON_CHANGE":
                self._sampler.ballooned(int(str(event.data["actual"])))
        fact = self._translator.news(event)
        if fact is not None:
            self._tell(fact)

    def _process_ended(self) -> None:
        """The monitor's last words come before the end, unless the connection was never taken up."""
        if self._monitor is not None and self._monitor.connected:
            asyncio.get_running_loop().call_later(DRAIN, self._closed)
        else:
            self._closed()

    def _monitor_ended(self, reason: str) -> None:
        if self.process.ended.is_set():
            self._closed()
        else:
            asyncio.get_running_loop().call_later(DRAIN, self._lost, reason)

    def _lost(self, reason: str) -> None:
        if not self.process.ended.is_set():
            self._tell(GuestFacts("lost", {"reason": reason}))

    def _closed(self) -> None:
        if self._gone.is_set():
            return
        self._gone.set()
        self._close()
        status = self.process.status
        data = {"status": status, "reason": describe(status), "log": self.log_tail()}
        self._tell(GuestFacts("closed", data))

    def log_tail(self) -> str:
        """The end of what this process has written to its log."""
        try:
            with Path(self.record.log).open("rb") as file:
                end = file.seek(0, 2)
                begin = self._log_start if self._log_start <= end else 0  # what was before it is in a backup
                file.seek(max(begin, end - TAIL))
                return file.read(TAIL).decode(errors="replace").strip()
        except OSError:
            return ""

    def last_words(self) -> str:
        """QEMU's last message, without time and program name."""
        lines = self.log_tail().splitlines()
        return lines[-1].rpartition("qemu-system-x86_64: ")[2] if lines else ""

    # --- CPUs

    async def status(self) -> str:
        return (await self.monitor.ask(_Status, "query-status")).status

    async def resume(self) -> None:
        await self.monitor.execute("cont")

    async def pause(self) -> None:
        await self.monitor.execute("stop")

    async def powerdown(self) -> None:
        await self.monitor.execute("system_powerdown")

    async def reset(self) -> None:
        await self.monitor.execute("system_reset")

    async def wakeup(self) -> None:
        await self.monitor.execute("system_wakeup")

    async def inject_nmi(self) -> None:
        await self.monitor.execute("inject-nmi")

    async def set_vcpus(self, count: int) -> None:
        try:
            await vcpus.set_vcpus(self.monitor, count)
        finally:
            self._forget()

    async def switch_vcpus(self, numbers: Sequence[int], online: bool) -> None:
        try:
            await vcpus.switch(self.monitor, numbers, online=online)
        finally:
            self._forget()

    # --- interaction

    async def send_keys(self, codes: Sequence[str], hold_ms: int | None) -> None:
        keys = [{"type": "qcode", "data": code} for code in codes]
        await self.monitor.execute("send-key", {"keys": keys, **({"hold-time": hold_ms} if hold_ms else {})})

    async def screenshot(self, path: str, display: str | None, head: int) -> None:
        arguments: dict[str, object] = {"filename": path}
        if display is not None:
            arguments |= {"device": display, "head": head}
        if (await self._own_schema()).has("screendump/arg-type/format=png"):
            arguments["format"] = "png"
        await self.monitor.execute("screendump", arguments)

    async def set_password(self, protocol: str, password: str, expires: str | None) -> None:
        await self.monitor.execute("set_password", {"protocol": protocol, "password": password})
        await self.monitor.execute("expire_password", {"protocol": protocol, "time": expires or "never"})

    async def device_info(self, kind: str) -> JSON:
        if kind == "chardev":
            return {c.label: c.filename for c in await self.monitor.ask(list[_Chardev], "query-chardev")}
        commands = {"vnc": "query-vnc", "spice": "query-spice", "status": "query-status"}
        return await self.monitor.ask(dict[str, object], commands[kind])

    async def monitor_command(self, command: str, *, hmp: bool, fds: Sequence[int] = ()) -> str:
        try:
            if hmp:
                return await passthrough.human(self.monitor, command)
            return await passthrough.pass_through(self.monitor, command, await self._own_schema(), fds)
        finally:
            self._forget()

    async def agent_command(self, command: str, deadline: float) -> str:
        if self.record.agent is None:
            raise AgentUnavailable("the guest has no channel for a guest agent")
        async with self._agent_lock:
            return await agent_command(self.record.agent, parse_command(command), deadline)

    async def _own_schema(self) -> Schema:
        if self._schema is None:
            self._schema = await passthrough.schema_of(self.monitor)
        return self._schema

    # --- state and devices

    async def save(self, path: str, fd: int, *, live: bool = False) -> None:
        if not live:
            await self.pause()
        await migration.save(self.monitor, fd, await self._own_schema())
        await self._activate()

    async def _activate(self) -> None:
        """From QEMU 10.0 on, an image that was let go of, or not taken yet, is of no use for work on layers until asked for."""
        if (await self._own_schema()).has("blockdev-set-active"):
            await self.monitor.execute("blockdev-set-active", {"active": True})

    async def take_back(self) -> None:
        """QEMU does that, and is ready for another save, as it lets the CPUs run: they do, for an instant."""
        for answer in await self.monitor.execute_many([Command("cont"), Command("stop")]):
            answer.value(msgspec.Raw)

    async def saved(self) -> tuple[int, int]:
        return await migration.progress(self.monitor)

    # --- the block graph

    async def graph(self) -> GraphFacts:
        return await blockgraph.graph(self.monitor)

    async def block_jobs(self) -> list[JobFacts]:
        return await blockgraph.jobs(self.monitor)

    async def steer_job(self, job: str, command: JobCommand) -> None:
        await blockgraph.steer(self.monitor, job, command)

    async def set_job_speed(self, job: str, bandwidth: int) -> None:
        await self.monitor.execute("block-job-set-speed", {"device": job, "speed": bandwidth})

    async def set_threshold(self, layer: int, size: int) -> None:
        await self.monitor.execute(
            "block-set-write-threshold", {"node-name": storage_of(layer), "write-threshold": size}
        )

    async def attempt(self, plans: Sequence[DevicePlan]) -> None:
        try:
            await blockgraph.attempt(self.monitor, plans)
        finally:
            self._forget()

    async def set_balloon(self, size: int) -> None:
        await self.monitor.execute("balloon", {"value": size})

    async def resize_block(self, alias: str, size: int) -> None:
        node = next((node for node, device in self._translator.nodes.items() if device == alias), None)
        if node is None:
            raise HypervisorFailed(f"no block node belongs to '{alias}'")
        await self.monitor.execute("block_resize", {"node-name": node, "size": size})
        self._forget()

    async def plug(self, plan: DevicePlan, fds: Mapping[int, int]) -> None:
        if plan.limits:
            raise_limits(self.record.pid, plan.limits)
        try:
            await plugging.plug(self.monitor, plan, fds)
        finally:
            self._forget()
        self.record.interfaces.update(plugging.tap_names(plan.resources, fds))

    async def unplug(self, plan: DevicePlan, deadline: float) -> bool:
        gone = await plugging.unplug(self.monitor, plan, deadline)
        if gone:
            self.record.interfaces.pop(plan.alias, None)
        return gone

    async def restore_limits(self, names: Sequence[str]) -> None:
        restore_limits(self.record.pid, names)

    async def update(self, plan: DevicePlan, fds: Mapping[int, int]) -> None:
        if plan.limits:
            raise_limits(self.record.pid, plan.limits)
        try:
            await plugging.plug(self.monitor, plan, fds)
        finally:
            self._forget()

    def figures(self, groups: Sequence[str], deadline: float) -> Awaitable[GuestFigures]:
        assert self._sampler is not None, "not connected"
        return self._sampler.take(groups, deadline)

    async def measure_dirty_rate(self, seconds: int, mode: str) -> None:
        assert self._sampler is not None, "not connected"
        schema = await self._own_schema()
        if not schema.has("calc-dirty-rate"):
            raise Unsupported("this QEMU cannot measure how fast a guest changes its memory")
        modes = {"mode": mode} if schema.has("calc-dirty-rate/arg-type/mode") else {}
        if not modes and mode != "page-sampling":
            raise Unsupported(f"this QEMU cannot measure by {mode}")
        await self.monitor.execute("calc-dirty-rate", {"calc-time": seconds, **modes})
        self._sampler.dirty.measured = True

    def _forget(self) -> None:
        if self._sampler is not None:
            self._sampler.forget()
