"""The storage port on Linux: each step of a pool's script has its function in a table."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from frontinus.api.errors import Unsupported
from frontinus.linux.storage import content, files, images, kernel, loops, programs, strays
from frontinus.ports.storage import Form, Progress
from frontinus.storage import steps
from frontinus.storage.steps import Step

THREADS = 4
"""Steps at once that block."""
PROGRAMS = 64
"""Programs at once that work on images, each with a thread that waits for it."""

T = TypeVar("T")

QUICK: Mapping[type[Step], Callable[[Any], object]] = {
    steps.Look: files.look, steps.Space: files.space, steps.Mounted: files.mounted, steps.MakeFolder: files.make_folder,
    steps.RemoveFolder: files.remove_folder, steps.Remove: files.remove, steps.Own: files.own, steps.Note: files.note_secret,
    steps.Settle: files.settle, steps.Allocate: files.allocate, steps.Scan: images.scan, steps.Inspect: images.inspect,
    steps.Read: kernel.read, steps.Names: kernel.names, steps.Write: kernel.write, steps.Overwrite: content.overwrite,
    steps.Appears: kernel.appears, steps.EndStrays: strays.end,
    steps.Need: programs.need, steps.Reflink: files.reflink, steps.Declare: files.declare, steps.RoundUp: files.round_up,
    steps.AttachLoop: loops.attach, steps.DetachLoop: loops.detach,
}  # fmt: skip
"""What is done in a thread, to its end."""


class LinuxStorage:
    """`ports.StorageHost` on this host. `run`: a folder that is gone at the next boot, for keys that tools read."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self._programs = asyncio.Semaphore(PROGRAMS)

    async def perform(self, step: Step, values: Mapping[str, bytes], progress: Progress | None = None) -> object:
        if isinstance(step, steps.Run):
            return await programs.run(self._placed(step.argv), step.input, step.accept)
        if isinstance(step, steps.RunPlace):
            return f"{self._run}/{step.name}"
        if isinstance(step, steps.DevicesNamed):
            return await programs.devices_named()
        if isinstance(step, steps.Image):
            async with self._programs:
                return await programs.image(step, values, progress)
        if isinstance(step, steps.Login):
            return await self._in_thread(
                lambda stop: programs.login(step, self._placed((step.pattern,))[0], values[""])
            )
        if isinstance(step, steps.Wipe):
            return await self._in_thread(lambda stop: content.wipe(step.path, step.algorithm, progress, stop))
        work = QUICK.get(type(step))
        if work is None:
            raise Unsupported(f"this host cannot take the step {type(step).__name__}")
        return await self._in_thread(lambda stop: work(step))

    async def receive(self, sock: socket.socket, path: str, offset: int, length: int, *, form: Form,
                      progress: Progress) -> int:  # fmt: skip
        return await self._in_thread(lambda stop: content.receive(sock, path, offset, length, form, progress, stop))

    async def send(self, sock: socket.socket, path: str, offset: int, length: int, *, form: Form,
                   progress: Progress) -> int:  # fmt: skip
        return await self._in_thread(lambda stop: content.send(sock, path, offset, length, form, progress, stop))

    async def stage(self, source: str, target: str, length: int) -> None:
        await self._in_thread(lambda stop: content.stage(source, target, length, stop))

    async def replace(self, staged: str, path: str) -> None:
        await self._in_thread(lambda stop: files.replace(staged, path))

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown()

    def _placed(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """The words with the run folder where they leave room for it."""
        return tuple(word.replace("{run}/", f"{self._run}/", 1) if word.startswith("{run}/") else word for word in argv)

    async def _in_thread(self, work: Callable[[content.Stop], T]) -> T:
        """Run in a thread. Cancelled, it is told to stop, and has stopped when this raises."""
        stop = content.Stop()
        task = asyncio.get_running_loop().run_in_executor(self._threads, work, stop)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            raise
