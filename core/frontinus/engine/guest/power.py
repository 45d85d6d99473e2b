"""Power: start, stop and all between."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence

from frontinus.api.engine import Descriptor, ShutdownMode, SleepTarget
from frontinus.api.errors import AgentUnavailable, AlreadyExists, FrontinusError, InvalidValue, Unsupported, WrongState
from frontinus.api.options import CreateFlag, StartFlag
from frontinus.api.views import GuestView
from frontinus.domain.guest import Guest
from frontinus.engine import runstate, trail
from frontinus.engine.guest import ending, launch, saving
from frontinus.engine.guest.definitions import completed
from frontinus.engine.lifetime import CALLER, Lifetime
from frontinus.engine.record import Record, Running
from frontinus.engine.snapshot.variables import reset_variables
from frontinus.engine.world import World

log = logging.getLogger(__name__)
AGENT_DEADLINE = 5.0


class Power:
    """The use cases that change whether and how a guest runs."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def create(self, xml: str, paused: bool = False, validate: bool = False) -> GuestView:
        said: dict[CreateFlag, bool] = {"paused": paused, "validate": validate}
        return await self.create_with(xml, [name for name, on in said.items() if on])

    async def create_with(self, xml: str, flags: Sequence[CreateFlag] = ()) -> GuestView:
        lifetime = _lifetime(flags)
        guest = await completed(self.world, xml, validate="validate" in flags)
        assert guest.uuid is not None
        known = self.world.guests.claim(guest.uuid, guest.name)
        if known is not None and known.running is not None:
            raise AlreadyExists(f"guest '{guest.name}' is running already", guest=guest.name)
        record = known or Record(guest.uuid, guest.name)
        async with record.lock.hold("create"):
            self.world.guests.claim(guest.uuid, guest.name)
            if known is None:
                self._adopt(record, guest)
            record.ends_with_caller = lifetime is not None
            try:
                if "reset-nvram" in flags:
                    await reset_variables(self.world, guest)
                await self._boot(record, guest, paused="paused" in flags)
            except BaseException:
                record.ends_with_caller = False
                if known is None:
                    self.world.guests.remove(record)
                raise
            self._bind(record, lifetime)
            return record.view()

    def _adopt(self, record: Record, guest: Guest) -> None:
        """A transient guest has a record only while it runs; the definition stands in until the process is there."""
        record.starting = guest
        self.world.guests.add(record)

    async def start(self, guest: str, paused: bool = False, force_boot: bool = False) -> GuestView:
        said: dict[StartFlag, bool] = {"paused": paused, "force-boot": force_boot}
        return await self.start_with(guest, [name for name, on in said.items() if on])

    async def start_with(self, guest: str, flags: Sequence[StartFlag] = ()) -> GuestView:
        record, lifetime = self.world.guests.find(guest), _lifetime(flags)
        async with record.lock.hold("start"):
            definition = record.need_inactive()
            record.ends_with_caller = lifetime is not None
            try:
                await self._start(record, definition, flags)
            except BaseException:
                record.ends_with_caller = False
                raise
            self._bind(record, lifetime)
            return record.view()

    async def _start(self, record: Record, definition: Guest, flags: Sequence[StartFlag]) -> None:
        if "reset-nvram" in flags:
            await reset_variables(self.world, definition)
        if record.managed_save and "force-boot" not in flags:
            direct = "bypass-cache" in flags
            await saving.restore_managed(self.world, record, paused="paused" in flags or None, direct=direct)
            return
        if record.managed_save:
            await saving.forget_managed(self.world, record)
        await self._boot(record, definition, paused="paused" in flags)

    async def start_with_files(self, guest: str, files: Sequence[Descriptor],
                               flags: Sequence[StartFlag] = ()) -> GuestView:  # fmt: skip
        self._need_containers()
        return await self.start_with(guest, flags)

    async def create_with_files(self, xml: str, files: Sequence[Descriptor],
                                flags: Sequence[CreateFlag] = ()) -> GuestView:  # fmt: skip
        self._need_containers()
        return await self.create_with(xml, flags)

    def _need_containers(self) -> None:
        """Raises Unsupported where guests have no first process that could be given files."""
        if not self.world.hypervisor.takes_files:
            raise Unsupported(
                f"descriptors at a start are for containers: guests of {self.world.hypervisor.name} take none"
            )

    def _bind(self, record: Record, lifetime: Lifetime | None) -> None:
        """The guest ends with this connection."""
        running = record.running
        if lifetime is None or running is None:
            return

        def end() -> None:
            self.world.spawn(ending.abandoned(record, running), f"end of {record.name}")

        lifetime.when_ended(end)

    async def _boot(self, record: Record, definition: Guest, *, paused: bool) -> None:
        soon: runstate.Soon = ("paused", "user") if paused else ("running", "booted")
        running = await launch.launch(self.world, record, definition, soon=soon)
        record.become("paused", "starting up")
        await self._run(record, running, paused=paused)

    async def _run(self, record: Record, running: Running, *, paused: bool) -> None:
        if paused:
            record.become("paused", "user")
        else:
            await launch.set_going(record, running)
            record.become("running", "booted")
        self.world.lifecycle(record, "started", "booted")
        trail.started(self.world, record, "booted")
        if paused:
            self.world.lifecycle(record, "suspended", "paused")

    async def shutdown(self, guest: str, mode: ShutdownMode | None = None) -> None:
        record = self.world.guests.find(guest)
        running = record.need_running()
        await self._ask(running, mode, "powerdown")

    async def reboot(self, guest: str, mode: ShutdownMode | None = None) -> None:
        record = self.world.guests.find(guest)
        running = record.need_running()
        running.rebooting = mode != "agent"
        try:
            await self._ask(running, mode, "reboot")
        except BaseException:
            running.rebooting = False
            raise

    async def _ask(self, running: Running, mode: ShutdownMode | None, agent_mode: str) -> None:
        """By agent when asked to; otherwise ACPI, as virsh does when no mode is given and no agent is connected."""
        if mode == "agent" or (mode is None and running.agent_connected):
            try:
                await running.process.agent_command(
                    json.dumps({"execute": "guest-shutdown", "arguments": {"mode": agent_mode}}), AGENT_DEADLINE)  # fmt: skip
                running.rebooting = False
                return
            except AgentUnavailable:
                if mode == "agent":
                    raise
        await running.process.powerdown()

    async def reset(self, guest: str) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("reset"):
            await record.need_running().process.reset()

    async def destroy(self, guest: str, graceful: bool = False) -> None:
        record = self.world.guests.find(guest)
        if record.unreachable is not None and not graceful:
            await self.world.hypervisor.end_strays(record.unreachable)
            return
        running = record.need_running()
        previous, running.ending = running.ending, running.ending or "destroyed"
        try:
            await ending.kill(record, graceful=graceful)
        except BaseException:
            running.ending = previous
            raise

    async def suspend(self, guest: str) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("suspend"):
            running = record.need_running()
            if record.state == "pmsuspended":
                raise WrongState(f"guest '{record.name}' is suspended by its own power management", state=record.state)
            if record.state == "paused":
                return
            with running.hushed():
                await running.process.pause()
            record.become("paused", "user")
            self.world.lifecycle(record, "suspended", "paused")
            await runstate.save_running(self.world.store, record)

    async def resume(self, guest: str) -> None:
        record = self.world.guests.find(guest)
        async with record.lock.hold("resume"):
            running = record.need_running()
            if record.state == "pmsuspended":
                raise WrongState(f"guest '{record.name}' is suspended: wake it up instead", state=record.state)
            if record.state == "running":
                raise WrongState(f"guest '{record.name}' is running already", state=record.state)
            with running.hushed():
                await running.process.resume()
            record.become("running", "unpaused")
            self.world.lifecycle(record, "resumed", "unpaused")
            await runstate.save_running(self.world.store, record)

    async def pm_suspend(self, guest: str, target: SleepTarget = "mem", duration: int = 0) -> None:
        commands = {"mem": "guest-suspend-ram", "disk": "guest-suspend-disk", "hybrid": "guest-suspend-hybrid"}
        if target not in commands:
            raise InvalidValue(f"unknown sleep target '{target}'", field="target")
        if duration:
            raise InvalidValue("a duration of sleep is not supported, use 0", field="duration")
        record = self.world.guests.find(guest)
        running = record.need_running()
        await running.process.agent_command(json.dumps({"execute": commands[target]}), AGENT_DEADLINE)

    async def pm_wakeup(self, guest: str) -> None:
        record = self.world.guests.find(guest)
        running = record.need_running()
        if record.state != "pmsuspended":
            raise WrongState(f"guest '{record.name}' is not asleep", state=record.state)
        await running.process.wakeup()

    async def autostart(self) -> None:
        """Start every inactive guest marked for it; one that fails is logged and stops no other."""
        for record in self.world.guests:
            if record.autostart and record.running is None:
                try:
                    await self.start(record.uuid)
                except FrontinusError as error:
                    log.error("autostart of %s: %s", record.name, error.message)
                except Exception:  # a defect of ours, for one guest
                    log.exception("autostart of %s", record.name)


def _lifetime(flags: Collection[str]) -> Lifetime | None:
    """The connection that a guest is to end with, if it is. Raises Unsupported for a caller that has none."""
    if "autodestroy" not in flags:
        return None
    lifetime = CALLER.get()
    if lifetime is None:
        raise Unsupported("a guest can end with a connection only where its caller has one")
    return lifetime
