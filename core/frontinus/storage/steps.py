"""What a pool's scripts ask of the host, as data: a step goes out, its answer comes back.

A script is a generator that yields steps and is sent their answers; a step that fails is thrown into it. So what a kind of
pool does is pure, and runs the same on Linux, on a mock, and in a test on the recorded output of tools.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from frontinus.storage.headers import Header
from frontinus.storage.parts import Permissions

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """Base of all steps."""


@dataclass(frozen=True)
class Need(Step):
    """What must be there: programs by name, file systems that the kernel knows. Answer: None; raises Unsupported."""

    programs: tuple[str, ...] = ()
    filesystem: str | None = None


@dataclass(frozen=True)
class Run(Step):
    """Run a tool. Answer: what it printed. `accept`: exit codes that are no failure."""

    argv: tuple[str, ...]
    input: str = ""
    accept: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Login(Step):
    """Write a secret to where a tool reads it from, since no argument may show it: to every file that `pattern` fits.

    `before`: what stands before the value, on a line of its own; without it the value is the whole file, which is made.
    `secret_uuid` or `usage` name a secret of type `usage_type`. Answer: None.
    """

    pattern: str
    usage_type: str
    secret_uuid: str | None = None
    usage: str | None = None
    before: str = ""
    base64: bool = False


@dataclass(frozen=True)
class Image(Step):
    """Run qemu-img. `keys`: the secret (uuid, usage) whose value stands for each placeholder `{key:NAME}` of a file.

    `logins`: the same for what a server asks: the secret's type comes first. `network`: it must reach a server.
    `reads`, `writes`: the files that it may open, and no others; one that is to be written need not be there.
    Answer: what it printed.
    """

    argv: tuple[str, ...]
    keys: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    logins: Mapping[str, tuple[str, str | None, str | None]] = field(default_factory=dict)
    network: bool = False
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EndStrays(Step):
    """End qemu-img where it still works on a path for an engine that is gone: one that died before it could say "end with me"."""

    path: str


@dataclass(frozen=True)
class Look(Step):
    """Answer: Place, None where there is nothing."""

    path: str


class Place(msgspec.Struct, frozen=True, gc=False):
    """What is at a path. `kind`: file, block, dir or other; sizes in bytes."""

    kind: str
    size: int = 0
    allocation: int = 0
    mode: int = 0
    owner: int = 0
    group: int = 0


@dataclass(frozen=True)
class Scan(Step):
    """Look at all images in a folder. Answer: a Found of each by its name, in the order of names.

    `known`: the answer before. What has not changed since is the same object in this one, which is `known` itself if nothing has.
    """

    path: str
    known: Mapping[str, Found] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspect(Step):
    """Look at one image or device. Answer: Found."""

    path: str


class Found(msgspec.Struct, frozen=True):
    """A volume as it is found. `declared`, `secret`: the format and the secret that its maker noted beside its content.

    `times`: of access, of change of the content, of any change, in ns since the epoch. `stamp`: what the host compares to
    know that nothing changed; None where nothing would tell.
    """

    name: str
    path: str
    place: Place
    header: Header = Header()
    declared: str | None = None
    secret: str | None = None
    times: tuple[int, int, int] = (0, 0, 0)
    stamp: Any = None


@dataclass(frozen=True)
class Space(Step):
    """Answer: (capacity, available) of the file system at a path, in bytes."""

    path: str


@dataclass(frozen=True)
class Mounted(Step):
    """Answer: what is mounted at a path, None for nothing."""

    path: str


@dataclass(frozen=True)
class RunPlace(Step):
    """Answer: a path in a folder of the engine's own that is empty at the next boot of the host."""

    name: str


@dataclass(frozen=True)
class Read(Step):
    """Answer: the bytes at an offset of a file or device, fewer at its end. At most 1 MiB."""

    path: str
    offset: int = 0
    length: int = 4096


@dataclass(frozen=True)
class Names(Step):
    """Answer: the sorted names in a folder; none where it is not there."""

    path: str


@dataclass(frozen=True)
class Appears(Step):
    """Wait until something is at a path, for `seconds` at most. Answer: whether something is."""

    path: str
    seconds: float = 10


@dataclass(frozen=True)
class DevicesNamed(Step):
    """Wait until udev has made the names of all devices that the kernel told of. Without udev: at once."""


@dataclass(frozen=True)
class Write(Step):
    """Write a text to a file of the kernel (sysfs)."""

    path: str
    text: str


@dataclass(frozen=True)
class MakeFolder(Step):
    """Make a folder and those above it; give it its permissions. One that is there is fine, unless `new`."""

    path: str
    permissions: Permissions = field(default_factory=Permissions)
    new: bool = False


@dataclass(frozen=True)
class RemoveFolder(Step):
    """Remove an empty folder."""

    path: str


@dataclass(frozen=True)
class Remove(Step):
    """Remove a file, or with `tree` a folder and all in it. Absent is fine."""

    path: str
    tree: bool = False


@dataclass(frozen=True)
class Allocate(Step):
    """Make a raw file of `size` bytes that holds `allocated` of them already."""

    path: str
    size: int
    allocated: int = 0
    new: bool = True


@dataclass(frozen=True)
class RoundUp(Step):
    """Lengthen a file to a multiple of `unit` bytes."""

    path: str
    unit: int


@dataclass(frozen=True)
class Reflink(Step):
    """Make a file that shares the blocks of another until one of them is written to. Raises Unsupported."""

    source: str
    path: str


@dataclass(frozen=True)
class Settle(Step):
    """Give a new file its owner and mode, note its format and secret beside its content, make it durable, and then its name.

    Raises AlreadyExists where the name is taken; nothing is ever overwritten.
    """

    temporary: str
    path: str
    format: str
    permissions: Permissions = field(default_factory=Permissions)
    secret: str | None = None


@dataclass(frozen=True)
class Note(Step):
    """Note beside a volume which secret opens it."""

    path: str
    secret: str


@dataclass(frozen=True)
class Declare(Step):
    """Note the format of an image beside it, unless one is noted."""

    path: str
    format: str


@dataclass(frozen=True)
class Own(Step):
    """Give a file or device its owner and mode."""

    path: str
    permissions: Permissions


@dataclass(frozen=True)
class Overwrite(Step):
    """Overwrite `length` bytes of a file or device, from its start or (negative) up to its end, with zeros."""

    path: str
    length: int


@dataclass(frozen=True)
class Wipe(Step):
    """Overwrite all content of a file or device, pass for pass; holes of a file stay holes."""

    path: str
    algorithm: str


@dataclass(frozen=True)
class AttachLoop(Step):
    """Make a part of a file or device a device of its own, or find the one that is. Answer: its path."""

    path: str
    offset: int
    size: int


@dataclass(frozen=True)
class DetachLoop(Step):
    """Take back what AttachLoop made. Absent is fine."""

    path: str
    offset: int


Script = Generator[Step, Any, T]
"""A use of the host that ends with a T."""


def ask(step: Step) -> Script[Any]:
    """A script of one step."""
    answer = yield step
    return answer


def tell(*steps: Step) -> Script[None]:
    """A script of steps without an answer."""
    for step in steps:  # noqa: UP028  (a plain iterator takes no answers)
        yield step


def output(*argv: str, accept: tuple[int, ...] = (0,)) -> Script[str]:
    """What a tool prints."""
    text: str = yield Run(argv, accept=accept)
    return text
