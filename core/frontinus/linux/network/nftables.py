"""nftables: rules changed in one transaction, read back, and watched for others who take ours away.

Commands and listings are the objects of libnftables-json(5). The library is called in process: a transaction takes a
third of a millisecond, where a run of `nft` takes fifteen, and a filter must be in force before its guest runs.
Sources: libnftables(3), libnftables-json(5), linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from frontinus.api.errors import HostFailed
from frontinus.linux.network.netlink import BUFFER, HEADER, attributes

Json = Mapping[str, Any]
"""One command or one object of a listing: {"add": {"rule": {...}}}, {"chain": {...}}."""

LIBRARY = "libnftables.so.1"
_OUTPUT_JSON, _OUTPUT_HANDLE = 1 << 4, 1 << 3
_NETLINK_NETFILTER, _GROUP = 12, 7
_SUBSYSTEM = 10
_NFGENMSG = struct.Struct("=BxH")
_TABLE_NAME, _GEN_PID = 1, 2
_NEW_GENERATION = 15
_ADDED = frozenset({0, 3, 6, 9})
"""Messages that tell of a new table, chain, rule, set."""
_DELETED = frozenset({2, 5, 8, 11})
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

Table = tuple[str, str]
"""Family and name."""


class Nftables:
    """The rules of the network namespace that this was made in. Threads may share it; calls block for microseconds."""

    def __init__(self) -> None:
        """Raises HostFailed where there is no libnftables."""
        self._lock = threading.Lock()
        self._library = _load()
        self._context = self._library.nft_ctx_new(0)
        self._library.nft_ctx_output_set_flags(self._context, _OUTPUT_JSON | _OUTPUT_HANDLE)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)
        self._threads: set[int] = set()

    def apply(self, commands: Sequence[Json]) -> None:
        """Run commands as one transaction: all of them or none. Raises HostFailed with nftables' own words."""
        if commands:
            self._run({"nftables": list(commands)})

    def content(self, family: str, table: str) -> list[dict[str, Any]]:
        """The objects of a table, with handles; nothing where there is no such table."""
        if (family, table) not in self.tables():
            return []
        return self._objects({"list": {"table": {"family": family, "name": table}}})

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """All "chains", "sets" or "maps" of this namespace, with the elements of maps, but no rules."""
        return self._objects({"list": {kind: None}})

    def tables(self) -> list[Table]:
        """Every table of this namespace."""
        objects = self._objects({"list": {"tables": None}})
        return [(found["table"]["family"], found["table"]["name"]) for found in objects]

    def is_own(self, change: Change) -> bool:
        """Whether a change was made here. In a PID namespace of its own a process does not recognise its changes."""
        return change.pid in self._threads

    def close(self) -> None:
        with self._lock:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def _objects(self, command: Json) -> list[dict[str, Any]]:
        found = msgspec.json.decode(self._run({"nftables": [command]}) or "{}").get("nftables", [])
        return [entry for entry in found if "metainfo" not in entry]

    def _run(self, document: Json) -> str:
        text = msgspec.json.encode(document)
        with self._lock:
            self._threads.add(threading.get_native_id())
            failed = self._library.nft_run_cmd_from_buffer(self._context, text)
            output: bytes = self._library.nft_ctx_get_output_buffer(self._context)
            words: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if failed:
            reason = words.decode(errors="replace").strip() or "no reason given"
            raise HostFailed(f"nftables refused: {reason[:1000]}", what="nftables")
        return output.decode(errors="replace")


def removed(family: str, table: str) -> list[Json]:
    """Commands that remove a table, whether it is there or not."""
    named = {"table": {"family": family, "name": table}}
    return [{"add": named}, {"delete": named}]


@dataclass(frozen=True)
class Change:
    """One transaction of anyone. `lost`: tables that something was taken from and nothing given to. `pid`: the thread's."""

    lost: frozenset[Table]
    pid: int = 0


class Watch:
    """Every change of the rules in this namespace. `fileno` is readable when there is news; `read` never waits."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER
        )
        self._socket.bind((0, 1 << (_GROUP - 1)))
        self._added: set[Table] = set()
        self._deleted: set[Table] = set()

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> list[Change] | None:
        """Transactions that took something away since the last call; None when some were missed: look for yourself."""
        found: list[Change] = []
        while True:
            try:
                data = self._socket.recv(BUFFER)
            except BlockingIOError:
                return found
            except OSError:  # ENOBUFS: more than the socket holds
                self._added.clear()
                self._deleted.clear()
                return None
            found += self._changes(memoryview(data))

    def close(self) -> None:
        self._socket.close()

    def _changes(self, data: memoryview) -> Iterator[Change]:
        while len(data) >= HEADER.size:
            length, kind, *_ = HEADER.unpack_from(data)
            body, data = data[HEADER.size : length], data[(length + 3) & ~3 :]
            if kind >> 8 == _SUBSYSTEM and length >= HEADER.size + _NFGENMSG.size:
                change = self._noted(kind & 0xFF, body)
                if change is not None:
                    yield change

    def _noted(self, message: int, body: memoryview) -> Change | None:
        """Note one message; the last of a transaction makes it a change."""
        told = dict(attributes(body[_NFGENMSG.size :]))
        if message == _NEW_GENERATION:
            lost = frozenset(self._deleted - self._added)
            self._added.clear()
            self._deleted.clear()
            return Change(lost, int.from_bytes(told.get(_GEN_PID, b""), "big")) if lost else None
        family = FAMILIES.get(_NFGENMSG.unpack_from(body)[0], "")
        table = (family, bytes(told.get(_TABLE_NAME, b"")).rstrip(b"\0").decode(errors="replace"))
        if message in _ADDED:
            self._added.add(table)
        elif message in _DELETED:
            self._deleted.add(table)
        return None


def _load() -> Any:
    """The library with the types of what is called."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise HostFailed(f"{LIBRARY} is not installed (Debian: nftables)", what="nftables") from None
    context = ctypes.c_void_p
    library.nft_ctx_new.restype, library.nft_ctx_new.argtypes = context, [ctypes.c_uint32]
    library.nft_ctx_free.restype, library.nft_ctx_free.argtypes = None, [context]
    library.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    library.nft_ctx_buffer_output.argtypes = library.nft_ctx_buffer_error.argtypes = [context]
    library.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        function = getattr(library, name)
        function.restype, function.argtypes = ctypes.c_char_p, [context]
    return library
