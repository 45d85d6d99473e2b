"""The hypervisor port on QEMU."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from frontinus import procfs
from frontinus.api.errors import FrontinusError, HostFailed, HypervisorFailed, NoSuchProcess, Unresponsive
from frontinus.api.figures import MonitorFigures
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.devices.base import Device
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts, Paths
from frontinus.domain.plan import DevicePlan, LaunchPlan
from frontinus.ports.hypervisor import RunRecord, SecretValues
from frontinus.ports.resources import Credentials
from frontinus.qemu import hotplug, limits, process
from frontinus.qemu.argv.machine.general import master_key_file
from frontinus.qemu.argv.secrets import KEY_BYTES, Sealer, placeholder, sealer
from frontinus.qemu.blocks import QemuBlocks
from frontinus.qemu.caps import cache, replies, transcript, xml_capabilities, xml_domain
from frontinus.qemu.guest import QemuGuest
from frontinus.qemu.links import LinkCounters
from frontinus.qemu.monitor.client import Command
from frontinus.qemu.monitor.meter import Meter
from frontinus.qemu.plan import launch_plan
from frontinus.qemu.plugging import tap_names
from frontinus.qemu.process import Process

log = logging.getLogger(__name__)
DYING_SECONDS = 3.0
"""Seconds that a process whose monitor is gone has to end: it was told to by the engine before us."""
KILL_SECONDS = 5.0


class QemuHypervisor:
    """Hypervisor on QEMU. `emulator` is the default binary, None for the distribution's."""

    name = "QEMU"
    takes_files = False

    def __init__(self, emulator: str | None = None, paths: Paths | None = None) -> None:
        self._emulator = emulator or replies.DEFAULT_EMULATOR
        self._cache = Path(paths.cache, "capabilities") if paths else cache.default_folder()
        self._known: dict[str, tuple[list[object], Capabilities]] = {}
        self._probing: dict[str, asyncio.Lock] = {}
        self._links = LinkCounters()
        self._meter = Meter()

    async def capabilities(self, emulator: str | None = None) -> Capabilities:
        path = emulator or self._emulator
        async with self._probing.setdefault(path, asyncio.Lock()):
            identity, known = self._known.get(path, ([], None))
            now = await asyncio.to_thread(cache.identity, path)
            if known is None or identity != now:
                text = await asyncio.to_thread(cache.recording, path, self._cache)
                known = replies.from_sessions(transcript.read(text), path)
                self._known[path] = now, known
            return known

    def traffic(self) -> MonitorFigures:
        return self._meter.view()

    def describe(self, capabilities: Capabilities, host: HostFacts) -> str:
        return xml_capabilities.describe(capabilities, host)

    def describe_guests(self, capabilities: Capabilities, host: HostFacts, machine: str | None = None,
                        virt_type: str | None = None) -> str:  # fmt: skip
        return xml_domain.describe(capabilities, host, machine, virt_type)

    def plan(self, guest: Guest, capabilities: Capabilities, host: HostFacts, *, incoming: bool = False,
             secrets: SecretValues | None = None) -> LaunchPlan:  # fmt: skip
        if secrets is None:
            return launch_plan(guest, capabilities, host, incoming=incoming)
        key = os.urandom(KEY_BYTES)
        seal = sealer(lambda: key, secrets)
        return launch_plan(guest, capabilities, host, incoming=incoming, seal=seal, master_key=key)

    def plan_device(self, guest: Guest, device: Device, capabilities: Capabilities, host: HostFacts,
                    secrets: SecretValues | None = None) -> DevicePlan:  # fmt: skip
        return hotplug.plan_device(guest, device, capabilities, host, _sealer(guest, host, secrets))

    def plan_update(self, guest: Guest, old: Device, new: Device, capabilities: Capabilities, host: HostFacts,
                    secrets: SecretValues | None = None) -> DevicePlan:  # fmt: skip
        return hotplug.plan_update(guest, old, new, capabilities, host, _sealer(guest, host, secrets))

    def freed_limits(self, guest: Guest, gone: Device) -> Sequence[str]:
        return limits.freed_limits(guest, gone)

    def blocks(self, guest: Guest, capabilities: Capabilities, host: HostFacts,
               secrets: SecretValues | None = None) -> QemuBlocks:  # fmt: skip
        return QemuBlocks(guest, capabilities, host, _sealer(guest, host, secrets))

    async def launch(self, plan: LaunchPlan, fds: Mapping[int, int], who: Credentials | None,
                     incoming: int | None = None, born: Callable[[int], None] | None = None) -> QemuGuest:  # fmt: skip
        argv, refused = process.with_limits(process.as_user(plan.argv, who, rights=plan.rights), plan.limits)
        for line in refused:
            log.warning("limit of %s: %s", plan.folder, line)
        output, start = _open_log(plan.log)
        try:
            child = Process.child(process.spawn(argv, plan.env, fds, output))
        finally:
            os.close(output)
        if born is not None:
            born(child.pid)
        record = RunRecord(
            pid=child.pid, started=child.started, monitor=plan.monitor, agent=plan.agent, emulator=plan.argv[0],
            folder=plan.folder, agent_device=plan.agent_device, interfaces=tap_names(plan.resources, fds), log=plan.log,
        )  # fmt: skip
        guest = QemuGuest(record, child, self._links, start, self._meter)
        try:
            await guest.connect([Command(name, arguments) for name, arguments in plan.monitor_commands])
            if incoming is not None:
                await guest.load(incoming)
        except BaseException as error:
            await asyncio.shield(guest.quit(graceful=False, deadline=KILL_SECONDS))
            if isinstance(error, FrontinusError):
                raise HypervisorFailed(f"QEMU did not start: {error.message}", **error.details) from error
            raise
        return guest

    async def attach(self, record: RunRecord) -> QemuGuest:
        guest = QemuGuest(record, Process.found(record.pid, record.started), self._links, meter=self._meter)
        try:
            await guest.reconnect()
        except FrontinusError as error:
            died = await guest.process.wait(DYING_SECONDS)
            await guest.detach()
            if died:
                raise NoSuchProcess(f"process {record.pid} ended while it was attached to: {error.message}") from None
            raise
        except BaseException:
            await guest.detach()
            raise
        return guest

    async def end_strays(self, folder: str) -> None:
        for pid in await asyncio.to_thread(process.strays, folder):
            started = procfs.start_time(pid)
            if started is None:
                continue
            log.warning("process %d of %s was left by a start that broke off: it is ended", pid, folder)
            try:
                stray = Process.found(pid, started)
            except NoSuchProcess:
                continue
            stray.kill(signal.SIGKILL)
            if not await stray.wait(KILL_SECONDS):
                stray.release()
                raise Unresponsive(f"process {pid} was killed, but did not end within {KILL_SECONDS:g} s")


def _sealer(guest: Guest, host: HostFacts, values: SecretValues | None) -> Sealer:
    """Seals with the key that a running guest was started with."""
    if values is None:
        return placeholder

    def key() -> bytes:
        path = master_key_file(host.paths.guest(guest.id if guest.id is not None else -1, guest.name))
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise HostFailed(f"the guest's key {path} cannot be read: {error.strerror}", what=path) from None

    return sealer(key, values)


def _open_log(path: str) -> tuple[int, int]:
    """A descriptor that appends to the guest's log, and where this run's part begins."""
    if not path:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 0
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HostFailed(f"the guest's log {path} cannot be opened: {error.strerror}", what=path) from error
    return fd, os.fstat(fd).st_size
