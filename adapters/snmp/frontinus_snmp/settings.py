"""The agent's configuration: one TOML file, every mistake named, and nothing served unless all of it is sound."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from frontinus_snmp import store
from frontinus_snmp.ber import MAX_SUB_ID, MAX_SUB_IDS, Oid
from frontinus_snmp.store import BadState
from frontinus_snmp.tree import View
from frontinus_snmp.usm import LEAST_MAX_SIZE

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = tuple[str, int]

LISTEN: Sequence[Address] = (("127.0.0.1", 1161),)
"""An agent runs without privileges, so not on port 161; see docs/snmp.md for ways there."""
MOST_MESSAGE = 65507
NOTHING = View()


class BadConfig(Exception):
    """The configuration cannot be used; the message names the field."""


@dataclass(frozen=True)
class V2c:
    """Community access, which anyone on the way can read and forge: only where an administrator switched it on."""

    community: bytes
    sources: Sequence[Network]
    view: str

    def allows(self, host: str) -> bool:
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.sources)


@dataclass(frozen=True)
class Receiver:
    """Where notifications go, as which user."""

    address: Address
    user: str


@dataclass(frozen=True)
class Settings:
    """What an administrator can set. `max_age`: seconds that figures may be old; `max_size`: octets of a message."""

    listen: Sequence[Address] = LISTEN
    contact: str = ""
    location: str = ""
    max_age: float = 5.0
    max_size: int = 8192
    views: Mapping[str, View] = field(default_factory=lambda: {"all": View(frozenset({(1, 3, 6, 1)}))})
    v2c: V2c | None = None
    notify: Sequence[Receiver] = ()

    def view(self, name: str) -> View:
        """A view by name; one that does not exist shows nothing."""
        return self.views.get(name, NOTHING)


@dataclass(frozen=True)
class Places:
    """Where the configuration and the state are."""

    config: Path
    state: Path


def places(monitor_socket: Path) -> Places:
    """Those that belong to the engine whose socket this is."""
    run = monitor_socket.parent
    if run == Path("/run/frontinus"):
        return Places(Path("/etc/frontinus-snmp.toml"), Path("/var/lib/frontinus/snmp"))
    session = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/frontinus-{os.getuid()}") / "frontinus"
    if run == session:
        home = Path.home()
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state")
        return Places(config / "frontinus/snmp.toml", state / "frontinus/snmp")
    return Places(run.parent / "state/snmp/snmp.toml", run.parent / "state/snmp")


def load(path: Path) -> Settings:
    """The settings of a file; the defaults if there is none. Raises BadConfig, BadState."""
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: {error}") from None
    reader = _Reader(path, document)
    views = {**Settings().views, **{name: _view(table) for name, table in reader.tables("views")}}
    found = Settings(
        listen=tuple(_address(reader, text) for text in reader.strings("listen")) or LISTEN,
        contact=reader.text("contact"), location=reader.text("location"),
        max_age=reader.number("max_age", Settings.max_age),
        max_size=int(reader.number("max_size", Settings.max_size)),
        views=views, v2c=_v2c(reader), notify=tuple(_receiver(row) for row in reader.rows("notify")),
    )  # fmt: skip
    reader.done()
    if not LEAST_MAX_SIZE <= found.max_size <= MOST_MESSAGE:
        raise BadConfig(f"{path}: 'max_size' must be {LEAST_MAX_SIZE} to {MOST_MESSAGE}")
    if not 0 <= found.max_age <= 3600:
        raise BadConfig(f"{path}: 'max_age' must be 0 to 3600")
    if found.v2c and found.v2c.view not in views:
        raise BadConfig(f"{path}: 'v2c.view' names no view")
    return found


class _Reader:
    """A table, whose fields are taken one by one; what is left over is a mistake."""

    def __init__(self, file: Path, table: Mapping[str, object], name: str = "") -> None:
        self.file, self._table, self._name = file, dict(table), name

    def where(self, field: str) -> str:
        return f"{self.file}: '{self._name + '.' if self._name else ''}{field}'"

    def take(self, field: str) -> object:
        return self._table.pop(field, None)

    def text(self, field: str, default: str = "") -> str:
        found = self.take(field)
        if found is not None and not isinstance(found, str):
            raise BadConfig(f"{self.where(field)} must be a string")
        return default if found is None else found

    def number(self, field: str, default: float) -> float:
        found = self.take(field)
        if found is not None and (isinstance(found, bool) or not isinstance(found, (int, float))):
            raise BadConfig(f"{self.where(field)} must be a number")
        return default if found is None else found

    def flag(self, field: str) -> bool:
        found = self.take(field)
        if found is not None and not isinstance(found, bool):
            raise BadConfig(f"{self.where(field)} must be true or false")
        return found is True

    def strings(self, field: str) -> list[str]:
        found = self.take(field)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise BadConfig(f"{self.where(field)} must be a list of strings")
        return found

    def table(self, field: str) -> _Reader | None:
        found = self.take(field)
        if found is not None and not isinstance(found, dict):
            raise BadConfig(f"{self.where(field)} must be a table")
        return None if found is None else _Reader(self.file, found, field)

    def tables(self, field: str) -> list[tuple[str, _Reader]]:
        """A table of tables."""
        found = self.table(field)
        if found is None:
            return []
        named = [(name, found.table(name)) for name in list(found._table)]
        return [(name, table) for name, table in named if table is not None]

    def rows(self, field: str) -> list[_Reader]:
        """A list of tables."""
        found = self.take(field)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise BadConfig(f"{self.where(field)} must be a list of tables")
        return [_Reader(self.file, item, field) for item in found]

    def done(self) -> None:
        if self._table:
            raise BadConfig(f"{self.where(next(iter(self._table)))} is unknown")


def _view(reader: _Reader) -> View:
    found = View(frozenset(_oid(reader, text) for text in reader.strings("include")),
                 frozenset(_oid(reader, text) for text in reader.strings("exclude")))  # fmt: skip
    reader.done()
    return found


def _oid(reader: _Reader, text: str) -> Oid:
    parts = text.removeprefix(".").split(".")
    if not all(part.isdecimal() and int(part) <= MAX_SUB_ID for part in parts) or len(parts) > MAX_SUB_IDS:
        raise BadConfig(f"{reader.where(text)} is no object identifier in numbers")
    return tuple(map(int, parts))


def _address(reader: _Reader, text: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        colon = ""
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadConfig(f"{reader.where(text)} is no ADDRESS:PORT in numbers")
    return host, int(port)


REFUSED_COMMUNITIES = (b"public", b"private")


def _v2c(parent: _Reader) -> V2c | None:
    reader = parent.table("v2c")
    if reader is None:
        return None
    enabled, file, view = reader.flag("enabled"), reader.text("community_file"), reader.text("view")
    sources = reader.strings("sources")
    reader.done()
    if not enabled:
        return None
    if not file or not sources or not view:
        raise BadConfig(f"{reader.file}: v2c needs 'community_file', 'sources' and 'view'")
    try:
        networks = tuple(ipaddress.ip_network(source) for source in sources)
        community = store.private_text(Path(file)).strip().encode()
    except (OSError, ValueError) as error:
        raise BadConfig(f"{reader.file}: v2c: {error}") from None
    if len(community) < 8 or community.lower() in REFUSED_COMMUNITIES:
        raise BadState(f"{file}: a community has at least 8 octets")
    return V2c(community, networks, view)


def _receiver(reader: _Reader) -> Receiver:
    address, user = _address(reader, reader.text("to")), reader.text("user")
    reader.done()
    if not user:
        raise BadConfig(f"{reader.where('user')} is missing")
    return Receiver(address, user)
