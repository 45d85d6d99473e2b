"""Pools of type iscsi: the LUNs of a target, through the kernel's initiator and iscsiadm."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from frontinus.api.errors import InvalidXML, StorageFailed, Unsupported
from frontinus.storage.pool import Pool, PoolTarget, Server
from frontinus.storage.pools.base import FoundSource, Listing, SourceSpec
from frontinus.storage.pools.scsihosts import BY_PATH, ScsiLuns
from frontinus.storage.steps import Login, Names, Need, Run, Script, output

SESSIONS = "/sys/class/iscsi_session"
NONE_FOUND = 21
"""iscsiadm's exit code where there are no sessions or records."""
PORT = 3260
PASSWORD = "node.session.auth.password"


class Iscsi(ScsiLuns):
    name = "iscsi"
    needs = ("host", "device", "path")
    programs = ("iscsiadm",)

    def complete(self, pool: Pool) -> None:
        super().complete(pool)
        pool.target = pool.target or PoolTarget()
        pool.target.path = pool.target.path or BY_PATH

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        yield from check_target(pool)

    def start(self, pool: Pool) -> Script[None]:
        yield Need(self.programs)
        if (yield from self._session(pool)) is not None:
            return
        face, auth = interface(pool), pool.origin.auth
        if face:
            named = ("--name", "iface.initiatorname", "--value", pool.origin.initiator or "")
            yield Run(("iscsiadm", *face, "--mode", "iface", "--op", "new"))
            yield Run(("iscsiadm", *face, "--mode", "iface", "--op", "update", *named))
        yield Run(("iscsiadm", *face, "--mode", "discovery", "--type", "sendtargets", "--portal", portal(pool)))
        yield _update(pool, "node.startup", "manual")  # the pool logs in, not the next boot
        if auth is not None:
            yield _update(pool, "node.session.auth.authmethod", "CHAP")
            yield _update(pool, "node.session.auth.username", auth.username or "")
            records = f"/etc/iscsi/nodes/{pool.device_paths[0]}/*/{face[-1] if face else 'default'}"
            yield Login(records, "iscsi", auth.secret_uuid, auth.secret_usage, before=f"{PASSWORD} = ")
        yield Run((*node(pool), "--login"))

    def stop(self, pool: Pool) -> Script[None]:
        """Log out; the password is taken from the initiator's record, where it stands in clear."""
        if (yield from self._session(pool)) is not None:
            yield Run((*node(pool), "--logout"))
        if pool.origin.auth is not None:
            yield _update(pool, PASSWORD, "", accept=(0, NONE_FOUND))

    def is_active(self, pool: Pool) -> Script[bool]:
        try:
            return (yield from self._session(pool)) is not None
        except (StorageFailed, Unsupported):
            return False

    def refresh(self, pool: Pool) -> Script[Listing]:
        session = yield from self._session(pool)
        if session is None:
            raise StorageFailed(f"pool '{pool.name}': there is no session with {pool.device_paths[0]}", path=pool.path)
        names: list[str] = yield Names(f"{SESSIONS}/session{session}/device")
        targets = [re.fullmatch(r"target(\d+):\d+:\d+", name) for name in names]
        host = next((int(match[1]) for match in targets if match), None)
        if host is None:
            raise StorageFailed(f"pool '{pool.name}': session {session} has no SCSI host", path=pool.path)
        return (yield from self.luns(pool, host))

    def find_sources(self, spec: SourceSpec) -> Script[list[FoundSource]]:
        if not spec.hosts:
            raise InvalidXML("<source>: <host> is missing", element="source")
        yield Need(self.programs)
        server = spec.hosts[0]
        text = yield from output(
            "iscsiadm", "--mode", "discovery", "--type", "sendtargets", "--portal", address(server)
        )
        return [FoundSource(host=server, devices=[target]) for target in targets_of(text)]

    def _session(self, pool: Pool) -> Script[int | None]:
        text = yield from output("iscsiadm", "--mode", "session", accept=(0, NONE_FOUND))
        return sessions_of(text).get(pool.device_paths[0])


def check_target(pool: Pool) -> Iterator[str]:
    """What both kinds of iSCSI pools need of their source."""
    source = pool.origin
    if len(source.hosts) > 1:
        yield "<source> of an iSCSI pool: only one <host> is possible"
    if len(source.devices) > 1:
        yield "<source> of an iSCSI pool: only one <device> is possible"
    if source.auth is not None and source.auth.type not in (None, "chap"):
        yield "<auth> of an iSCSI pool is of type 'chap'"
    for name in [host.name for host in source.hosts]:
        if not re.fullmatch(r"[\w.:\[\]-]+", name) or name.startswith("-"):
            yield f"<host>: '{name}' is no name of a server"
    for name in (*pool.device_paths, *([source.initiator] if source.initiator else [])):
        if not re.fullmatch(r"[\w.:-]+", name) or name.startswith("-"):
            yield f"'{name}' is no iSCSI name"


def address(server: Server) -> str:
    name = f"[{server.name}]" if ":" in server.name and not server.name.startswith("[") else server.name
    return f"{name}:{server.port or PORT}"


def interface(pool: Pool) -> tuple[str, ...]:
    """iscsiadm's words for the interface record of an initiator of the pool's own; none for the host's usual one."""
    if pool.origin.initiator is None:
        return ()
    return ("--interface", f"frontinus-{hashlib.sha256(pool.origin.initiator.encode()).hexdigest()[:12]}")


def node(pool: Pool) -> tuple[str, ...]:
    """iscsiadm on the record of the pool's target."""
    target = ("--mode", "node", "--portal", portal(pool), "--targetname", pool.device_paths[0])
    return ("iscsiadm", *interface(pool), *target)


def _update(pool: Pool, name: str, value: str, accept: tuple[int, ...] = (0,)) -> Run:
    return Run((*node(pool), "--op", "update", "--name", name, "--value", value), accept=accept)


def portal(pool: Pool) -> str:
    return f"{address(pool.origin.hosts[0])},1"


def sessions_of(text: str) -> dict[str, int]:
    """Session numbers by target, of lines like: tcp: [1] 10.0.0.1:3260,1 iqn.2013-06.com.example:t (non-flash)."""
    found = re.findall(r"^\w+: \[(\d+)\] \S+ (\S+)", text, re.MULTILINE)
    return {target: int(number) for number, target in found}


def targets_of(text: str) -> list[str]:
    """Targets of lines like: 10.0.0.1:3260,1 iqn.2013-06.com.example:t."""
    return list(dict.fromkeys(re.findall(r"^\S+,\d+ (\S+)", text, re.MULTILINE)))
