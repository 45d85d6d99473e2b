"""Run state: what a later engine needs to find a running guest again, or to clean up after one that never ran."""

from __future__ import annotations

import time

import msgspec

from frontinus.api.views import State
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.definition import format_cpu, format_guest, parse_cpu, parse_guest
from frontinus.domain.guest import Guest
from frontinus.engine import apart
from frontinus.engine.block.works import BackupState, Work
from frontinus.engine.record import Record, Running
from frontinus.ports import RunRecord, StateStore


class RunState(msgspec.Struct, kw_only=True):
    """The document of kind "running". Without `process` the start had not got that far."""

    uuid: str
    name: str
    folder: str
    xml: str = ""
    """The running guest; empty until its process is there."""
    state: State = "paused"
    reason: str = "starting up"
    since: float = 0.0
    process: RunRecord | None = None
    undo: list[dict[str, object]] = []
    tainted: tuple[str, ...] = ()
    redefined: bool = False
    hidden: bool = False
    held: bool = False
    autodestroy: bool = False
    agent_timeout: float | None = None
    asked_cpu: str = ""
    """The <cpu> that was asked for, where the running guest has another."""
    works: list[Work] = []
    backup: BackupState | None = None

    def guest(self) -> Guest:
        return parse_guest(self.xml)

    def cpu(self) -> Cpu | None:
        return parse_cpu(self.asked_cpu)


KIND = "running"


Soon = tuple[State, str]
"""The state and reason that a start is about to reach."""


async def save_running(store: StateStore, record: Record, *, soon: Soon | None = None) -> None:
    """Write the run state of a running guest durably; with `soon`, as it will be in a moment.

    What a later engine finds otherwise (the start was cut short before its CPUs ran) it believes QEMU.
    """
    running = record.need_running()
    async with running.saving:  # what is written last is what is true last, however long a document takes
        text = await _document(record, running, soon)
        if record.running is running and not running.forgotten:  # it may have ended meanwhile
            await store.save(KIND, record.uuid, text)


async def forget(store: StateStore, record: Record, running: Running) -> None:
    """The guest has ended: a later engine finds nothing of it, whatever was still being written down."""
    async with running.saving:
        running.forgotten = True
        await store.delete(KIND, record.uuid)


async def _document(record: Record, running: Running, soon: Soon | None) -> str:
    name, reason = soon or (record.state, record.reason)
    state = RunState(
        uuid=record.uuid, name=record.name, folder=running.process.record.folder, state=name, reason=reason,
        since=time.time() if soon else record.since, process=running.process.record, undo=list(running.undo),
        tainted=running.tainted, redefined=running.redefined, hidden=running.hidden, held=running.held,
        autodestroy=record.ends_with_caller, agent_timeout=running.agent_timeout,
        asked_cpu=format_cpu(running.asked_cpu), works=running.works.to_keep(), backup=running.backup,
    )  # fmt: skip

    def written(guest: Guest) -> str:
        return encode(msgspec.structs.replace(state, xml=format_guest(guest, active=True, secrets=True)))

    return await apart.writing(running.guest, written)


async def write(store: StateStore, state: RunState) -> None:
    await store.save(KIND, state.uuid, encode(state))


def encode(state: RunState) -> str:
    return msgspec.json.format(msgspec.json.encode(state)).decode()


def decode(text: str) -> RunState:
    """Raises ValueError for a document that is no run state."""
    return msgspec.json.decode(text, type=RunState)
