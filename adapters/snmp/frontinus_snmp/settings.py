"""The agent's configuration: one TOML file, every mistake named, and nothing served unless all of it is sound."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from frontinus.client import private, toml
from frontinus.client.private import BadState
from frontinus.client.toml import Address, BadConfig, Network, Reader
from frontinus_snmp import definitions
from frontinus_snmp.ber import MAX_SUB_ID, MAX_SUB_IDS, Oid
from frontinus_snmp.roots import ROOT
from frontinus_snmp.tree import View
from frontinus_snmp.usm import LEAST_MAX_SIZE

LISTEN: Sequence[Address] = (("127.0.0.1", 1161),)
"""An agent runs without privileges, so not on port 161; see docs/snmp.md for ways there."""
MOST_MESSAGE = 65507
SECRETS = frozenset((1, 3, 6, 1, 6, 3, number) for number in (12, 13, 15, 16, 18))
"""Who may do what, and who is told: targets, notifications, users, views, communities."""
VIEWS: Mapping[str, View] = {
    "all": View(frozenset({(1, 3, 6, 1), (1, 3, 6, 1, 6, 3, 15, 1, 1), (1, 3, 6, 1, 6, 3, 12, 1, 4), (1, 3, 6, 1, 6, 3, 12, 1, 5)}),
                SECRETS),
    "everything": View(frozenset({(1, 3, 6, 1)})),
}  # fmt: skip
"""The views that are there: `all` but who may do what, and `everything`."""
NOTHING = View()
MOST_JUDGED = 1024
"""Addresses of which it is remembered whether they may ask."""


@dataclass(frozen=True)
class V2c:
    """Community access, which anyone on the way can read and forge: only where an administrator switched it on."""

    community: bytes
    sources: Sequence[Network]
    view: str
    v1: bool = False
    """Whether SNMPv1 is served too."""

    _judged: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def allows(self, host: str) -> bool:
        found = self._judged.get(host)
        if found is None:
            if len(self._judged) >= MOST_JUDGED:
                self._judged.clear()
            found = self._judged[host] = self._within(host)
        return found

    def _within(self, host: str) -> bool:
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.sources)


@dataclass(frozen=True)
class Receiver:
    """Where notifications go: as which SNMPv3 user, or, with a community of SNMPv2c, which `view` of them.

    An inform is repeated `retries` times, each time after `timeout` seconds without an answer; its user's keys are those of
    the receiver's engine.
    """

    address: Address
    user: str = ""
    inform: bool = False
    engine_id: bytes = b""
    timeout: float = 1.5
    retries: int = 3
    community: bytes | None = None
    view: str = ""


@dataclass(frozen=True)
class Settings:
    """What an administrator can set. `max_age`: seconds that figures may be old; `max_size`: octets of a message."""

    listen: Sequence[Address] = LISTEN
    contact: str = ""
    location: str = ""
    max_age: float = 5.0
    max_size: int = 8192
    views: Mapping[str, View] = field(default_factory=lambda: dict(VIEWS))
    v2c: V2c | None = None
    notify: Sequence[Receiver] = ()
    per_vm: bool = True
    bulk: bool = False
    own: bool = True
    strangers: bool = False
    """Which notifications are told after a start: VM-MIB's two kinds, ours, authenticationFailure."""
    bulk_seconds: float = 1.0
    pool_full: float = 90.0
    root: Oid = ROOT
    host: bool = True
    """Whether IF-MIB and HOST-RESOURCES-MIB are served."""
    definitions: Mapping[str, Path] = field(default_factory=dict)
    folder: Path | None = None
    """Stored definitions by name, and where they are."""
    agentx: str = ""
    """The socket of a master agent, or tcp:ADDRESS:PORT; then this one opens no port."""
    agentx_write: str = ""
    """The view of what the master agent may change; without a name nothing."""

    def view(self, name: str) -> View:
        """A view by name; one that does not exist shows nothing."""
        return self.views.get(name, NOTHING)


def load(path: Path) -> Settings:
    """The settings of a file; the defaults if there is none. Raises BadConfig, BadState."""
    reader = toml.read(path)
    if reader is None:
        return Settings()
    views = {**VIEWS, **{name: _view(table) for name, table in reader.tables("views")}}
    master = reader.table("agentx") or Reader(path, {}, "agentx")
    told = reader.table("notifications") or Reader(path, {}, "notifications")
    folder, stored = _definitions(reader)
    found = Settings(
        listen=reader.addresses("listen") or LISTEN,
        contact=reader.text("contact"), location=reader.text("location"),
        max_age=reader.number("max_age", Settings.max_age, 0, 3600),
        max_size=int(reader.number("max_size", Settings.max_size, LEAST_MAX_SIZE, MOST_MESSAGE)),
        views=views, v2c=_v2c(reader), notify=tuple(_receiver(row, views) for row in reader.rows("notify")),
        per_vm=told.flag("per_vm", True), bulk=told.flag("bulk"), own=told.flag("own", True), strangers=told.flag("strangers"),
        bulk_seconds=told.number("bulk_seconds", Settings.bulk_seconds, 0, 60),
        pool_full=told.number("pool_full", Settings.pool_full, 1, 100),
        root=_oid(reader, found_root) if (found_root := reader.text("root")) else ROOT,
        host=reader.flag("host", True), definitions=stored, folder=folder,
        agentx=master.text("socket"), agentx_write=master.text("write_view"),
    )  # fmt: skip
    told.done()
    master.done()
    reader.done()
    if found.v2c and found.v2c.view not in views:
        raise BadConfig(f"{path}: 'v2c.view' names no view")
    if len(found.root) < 7 or found.root[:6] != (1, 3, 6, 1, 4, 1):
        raise BadConfig(f"{path}: 'root' must lie below 1.3.6.1.4.1")
    return found


def _definitions(reader: Reader) -> tuple[Path | None, Mapping[str, Path]]:
    text = reader.text("definitions")
    folder = Path(text) if text else None
    try:
        return folder, definitions.stored(folder)
    except OSError as error:
        raise BadConfig(f"{reader.where('definitions')}: {error}") from None


def _view(reader: Reader) -> View:
    found = View(frozenset(_oid(reader, text) for text in reader.strings("include")),
                 frozenset(_oid(reader, text) for text in reader.strings("exclude")))  # fmt: skip
    reader.done()
    return found


def _oid(reader: Reader, text: str) -> Oid:
    parts = text.removeprefix(".").split(".")
    if not all(part.isdecimal() and int(part) <= MAX_SUB_ID for part in parts) or len(parts) > MAX_SUB_IDS:
        raise BadConfig(f"{reader.where(text)} is no object identifier in numbers")
    return tuple(map(int, parts))


REFUSED_COMMUNITIES = (b"public", b"private")


def _v2c(parent: Reader) -> V2c | None:
    reader = parent.table("v2c")
    if reader is None:
        return None
    enabled, v1, file, view = (
        reader.flag("enabled"),
        reader.flag("v1"),
        reader.text("community_file"),
        reader.text("view"),
    )
    sources = reader.networks("sources")
    reader.done()
    if not enabled:
        return None
    if not file or not sources or not view:
        raise BadConfig(f"{reader.file}: v2c needs 'community_file', 'sources' and 'view'")
    return V2c(_community(reader, file), sources, view, v1)


def _community(reader: Reader, file: str) -> bytes:
    """Raises BadConfig, BadState."""
    try:
        community = private.read(Path(file)).strip()
    except (OSError, ValueError) as error:
        raise BadConfig(f"{reader.where('community_file')}: {error}") from None
    if len(community) < 8 or community.lower() in REFUSED_COMMUNITIES:
        raise BadState(f"{file}: a community has at least 8 octets")
    return community


def _receiver(reader: Reader, views: Mapping[str, View]) -> Receiver:
    address, user, inform = reader.address("to", reader.text("to")), reader.text("user"), reader.flag("inform")
    engine, file, view = reader.text("engine"), reader.text("community_file"), reader.text("view")
    timeout, retries = reader.number("timeout", 1.5, 0.1, 60), int(reader.number("retries", 3, 0, 20))
    reader.done()
    if file:
        if user or view not in views:
            raise BadConfig(f"{reader.where('view')} must name a view, and there is no 'user' beside a community")
        return Receiver(address, "", inform, b"", timeout, retries, _community(reader, file), view)
    if not user:
        raise BadConfig(f"{reader.where('user')} is missing")
    try:
        engine_id = bytes.fromhex(engine.removeprefix("0x"))
    except ValueError:
        raise BadConfig(f"{reader.where('engine')} is no hexadecimal number") from None
    if inform != bool(engine_id):
        raise BadConfig(
            f"{reader.where('engine')} must be the receiver's engine for an inform, and is for nothing else"
        )
    return Receiver(address, user, inform, engine_id, timeout, retries)
