"""The tools of storage: argument vectors, a clean environment, limits; qemu-img confined, its keys through pipes.

qemu-img reads what guests have written. It sees no files but the images of its command; it gets no network (but for a pool on a
server), no new privileges, of root's only the right to pass file permissions, limits of memory and time, no core file, and it
ends with the engine.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import glob
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from frontinus import durable
from frontinus.api.errors import HostFailed, StorageFailed, Unsupported
from frontinus.linux.helpers import tool
from frontinus.linux.landlock import NETWORK, Sight
from frontinus.linux.storage import confined
from frontinus.linux.storage.files import FILE_MODE, telling
from frontinus.ports.storage import Progress
from frontinus.storage.imaging import TRIES, UNMEASURED
from frontinus.storage.steps import Image, Login, Need

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
SECONDS = 120.0
"""That a tool may take; qemu-img may take as long as it needs, as a job that can be aborted."""
LIMITS = ("--as=4294967296", "--core=0")
WORDS = 500
KEY = re.compile(r"\{key:([A-Za-z0-9._-]+)\}")
NOISE = re.compile(r"Error when deleting file .*: Permission denied$")
"""What qemu-img adds where it failed to fill a new file: to remove that is the engine's."""
FILESYSTEMS = Path("/proc/filesystems")
UDEV = Path("/run/udev/control")
"""Where udev listens, if it runs."""
LONG = frozenset({"convert", "create", "resize", "amend"})


def need(step: Need) -> None:
    """Raises Unsupported for a tool that is not installed, or a file system that the kernel does not know."""
    for program in step.programs:
        try:
            tool(program)
        except HostFailed:
            raise Unsupported(f"this needs the program '{program}', which is not installed") from None
    if step.filesystem is not None and step.filesystem not in FILESYSTEMS.read_text().split():
        _try_module(step.filesystem)


def _try_module(name: str) -> None:
    """The kernel loads a file system's module when it is mounted; whether it has one, its list of modules tells."""
    folder = Path("/lib/modules", os.uname().release)
    for listing in ("modules.alias", "modules.dep", "modules.builtin"):
        with contextlib.suppress(OSError):
            text = (folder / listing).read_text()
            if f"/{name}.ko" in text or f"fs-{name} " in text:
                return
    raise Unsupported(f"this kernel does not know the file system '{name}'")


async def run(argv: Sequence[str], text: str, accept: Sequence[int]) -> str:
    """A tool's output. Raises StorageFailed in its own words, Unsupported where it is missing."""
    need(Need((argv[0],)))
    output, errors, code = await _communicate([tool(argv[0]), *argv[1:]], text.encode(), SECONDS)
    if code not in accept:
        raise _failed(argv[0], errors or output, code)
    return output.decode(errors="replace")


async def devices_named() -> str:
    """Whatever udev knows of is done when this returns; it gives up where udev is stuck."""
    there = await asyncio.to_thread(UDEV.exists)
    return await run(("udevadm", "settle", "--timeout=30"), "", (0, 1)) if there else ""


async def image(step: Image, values: Mapping[str, bytes], progress: Progress | None) -> str:
    """qemu-img's output; keys reach it through pipes that are empty once they were read."""
    need(Need(("qemu-img", "prlimit", "setpriv")))
    for _ in range(TRIES - 1):
        with contextlib.suppress(_Again):
            return await _image(step, values, progress)
    return await _image(step, values, progress)


class _Again(StorageFailed):
    """The same may work the next time."""


async def _image(step: Image, values: Mapping[str, bytes], progress: Progress | None) -> str:
    verb = step.argv[0]
    for path in step.writes:
        _be_there(path)
    with contextlib.ExitStack() as stack:
        fds = {name: stack.enter_context(_pipe(values[name])) for name in (*step.keys, *step.logins)}
        words = [KEY.sub(lambda found: f"/dev/fd/{fds[found[1]]}", word) for word in step.argv[1:]]
        told = ["-p"] if verb == "convert" and progress is not None else []
        argv = [*confinement(network=step.network), tool("qemu-img"), verb, *told, *words]
        sight = Sight((*step.reads, *(NETWORK if step.network else ())), step.writes)
        deadline = None if verb in LONG else SECONDS
        try:
            output, errors, code = await confined.run(
                argv, sight, ENVIRONMENT, deadline, tuple(fds.values()), progress if told else None
            )
        except TimeoutError:
            raise StorageFailed(f"qemu-img did not end within {SECONDS:g} s") from None
    if code != 0:
        raise (_Again if UNMEASURED.encode() in errors else StorageFailed)(
            _failed("qemu-img", errors or output, code).message
        )
    return output.decode(errors="replace")


def _be_there(path: str) -> None:
    """A file that is to be made is made empty, since a program can be shown only what there is."""
    if path.startswith("/") and not os.path.lexists(path):
        with telling(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))


def confinement(*, network: bool) -> list[str]:
    """What comes before a program that reads images."""
    words = [tool("prlimit"), *LIMITS, "--"]
    if os.geteuid() == 0:
        words += [] if network else [tool("unshare"), "--net", "--"]
        rights = "-all,+dac_override,+dac_read_search,+fowner"
        words += [
            tool("setpriv"),
            "--no-new-privs",
            "--inh-caps=-all",
            f"--bounding-set={rights}",
            "--pdeathsig=KILL",
            "--",
        ]
    else:
        words += [tool("setpriv"), "--no-new-privs", "--pdeathsig=KILL", "--"]
    return words


@contextlib.contextmanager
def _pipe(data: bytes) -> Iterator[int]:
    """A descriptor from which data is read once."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        if os.write(writing, data) != len(data):
            raise HostFailed("a key is longer than a pipe holds", what="key")
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


async def _communicate(argv: Sequence[str], text: bytes, deadline: float) -> tuple[bytes, bytes, int]:
    """Run to the end, the output bounded. On a cancellation, and past the deadline, the process is killed first."""
    async with _process(argv) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        if text:
            process.stdin.write(text)
        process.stdin.close()
        try:
            async with asyncio.timeout(deadline):
                output, errors = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
                code = await process.wait()
        except TimeoutError:
            raise StorageFailed(f"{Path(argv[0]).name} did not end within {deadline:g} s") from None
    return output, errors, code


@asynccontextmanager
async def _process(argv: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT, start_new_session=True, cwd="/"
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    taken = bytearray()
    while data := await stream.read(65536):
        if len(taken) < confined.MOST:
            taken += data
    return bytes(taken)


def _failed(name: str, words: bytes, code: int) -> StorageFailed:
    lines = [line for line in words.decode(errors="replace").splitlines() if not NOISE.search(line)]
    said = "\n".join(lines).strip().removeprefix(f"{name}: ")[-WORDS:]
    return StorageFailed(f"{name}: {said or f'failed with status {code}'}")


def login(step: Login, pattern: str, value: bytes) -> None:
    """Put a secret where a tool reads it: a file of root's alone, or a line of the files that there are."""
    text = base64.b64encode(value) if step.base64 else value
    if not step.before:
        with telling(pattern):
            durable.write(Path(pattern), text)
        return
    found = [Path(name) for name in glob.glob(pattern)]  # noqa: PTH207
    if not found:
        raise StorageFailed(f"there is no {pattern} to write the password to", path=pattern)
    for path in found:
        with telling(path):
            lines = [line for line in path.read_bytes().splitlines() if not line.startswith(step.before.encode())]
            durable.write(path, b"\n".join([*lines, step.before.encode() + text, b""]))
