"""The dnsmasq of each network: started, told again, watched and ended. It gives its privileges up for a user of its own.

It is known by the pid that it wrote down and by its command line, which names our file. It outlives the engine.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from frontinus import procfs
from frontinus.api.errors import HostFailed
from frontinus.linux.failing import failing
from frontinus.linux.helpers import end, tool
from frontinus.network.plan import Dnsmasq
from frontinus.ports.networks import Lease

PROGRAM = "dnsmasq"
USERS = ("dnsmasq", "nobody")
READY_SECONDS = 30.0
END_SECONDS = 3.0
LAST_WORDS = 500
READINGS, PAUSE = 20, 0.01
"""How often, and after how many seconds, a lease file is read again that is being written."""
FOLDER_MODE = 0o755
"""dnsmasq reads its files again as its own user."""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def set_up(server: Dnsmasq, *, again: bool = False) -> int:
    """Have a server that runs with these files; returns its pid. Raises HostFailed with its last words.

    Another configuration ends the old server and starts a new one; other hosts and names are read again by the same.
    `again`: it reads them in any case, for a crash may have come between writing and telling.
    """
    pid = find(server)
    before = _written(server.config)
    changed = _write(server)
    if pid is not None and before == server.files.config:
        if changed or again:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)
        return pid
    tear_down(server)
    _start(server)
    pid = find(server)
    if pid is None:
        raise HostFailed("dnsmasq ended at once", what=server.config)
    return pid


def tear_down(server: Dnsmasq) -> None:
    """End a server. Its leases stay. Idempotent."""
    end_all(server.config)
    Path(server.pid).unlink(missing_ok=True)


def end_all(config: str) -> None:
    """End every server that was started with a configuration."""
    for pid in running(config):
        end(pid, procfs.start_time(pid) or 0, END_SECONDS)


def clean(server: Dnsmasq) -> None:
    """Remove the files of a server that was torn down, but for its leases."""
    for path in map(Path, (server.config, server.hosts, server.names, server.pid)):
        path.unlink(missing_ok=True)
        _new(path).unlink(missing_ok=True)


def forget(server: Dnsmasq) -> None:
    """Remove its leases too."""
    clean(server)
    Path(server.leases).unlink(missing_ok=True)


def find(server: Dnsmasq) -> int | None:
    """The pid of a server that runs."""
    try:
        pid = int(Path(server.pid).read_text())
    except (OSError, ValueError):
        pid = 0
    if pid and _serves(pid, server.config):
        return pid
    return next(running(server.config), None)  # a crash came between its start and its pid file


def running(config: str) -> Iterator[int]:
    """Pids of every dnsmasq that was started with a configuration."""
    return (pid for pid in procfs.processes() if _serves(pid, config))


def sweep(folder: str, kept: Sequence[Dnsmasq]) -> list[int]:
    """End every server whose configuration is in our folder and not among those kept; returns their pids."""
    known = {server.config for server in kept}
    found = []
    for pid in procfs.processes():
        config = _configuration(pid)
        if config and str(Path(config).parent) == folder and config not in known:
            end(pid, procfs.start_time(pid) or 0, END_SECONDS)
            found.append(pid)
    return found


def _serves(pid: int, config: str) -> bool:
    return _configuration(pid) == config


def _configuration(pid: int) -> str | None:
    """The configuration that a dnsmasq was started with; None for other processes."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if not words or words[0].rpartition(b"/")[2] != PROGRAM.encode():
        return None
    option = next((word for word in words if word.startswith(b"--conf-file=")), None)
    return os.fsdecode(option.partition(b"=")[2]) if option else None


def _write(server: Dnsmasq) -> bool:
    """Write the files; whether those that it reads again are others now."""
    for path in (server.config, server.pid):
        folder = Path(path).parent
        with failing("make the folder", str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(FOLDER_MODE)
    changed = False
    texts = {server.config: server.files.config, server.hosts: server.files.hosts, server.names: server.files.names}
    for place, text in texts.items():
        if _written(place) != text:
            with failing("write", place):
                _replace(Path(place), text)
            changed |= place != server.config
    return changed


def _new(path: Path) -> Path:
    """Where a file is written before it has its name."""
    return path.with_name(f".{path.name}.new")


def _replace(path: Path, text: str) -> None:
    """There whole or not at all, and for dnsmasq's user to read; after a power failure all of it is written anew."""
    new = _new(path)
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "w") as file:
        os.fchmod(fd, 0o644)
        file.write(text)
    new.replace(path)


def _written(place: str) -> str | None:
    try:
        return Path(place).read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _start(server: Dnsmasq) -> None:
    """Returns when it serves: it goes into the background then."""
    argv = [tool(PROGRAM), f"--conf-file={server.config}", f"--pid-file={server.pid}", f"--dhcp-leasefile={server.leases}",
            f"--user={_user()}"]  # fmt: skip
    with failing("start", argv[0]):
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT,
                                  timeout=READY_SECONDS, check=False, start_new_session=True)  # fmt: skip
        except subprocess.TimeoutExpired:
            tear_down(server)
            raise HostFailed(f"dnsmasq did not get ready within {READY_SECONDS:g} s", what=server.config) from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-LAST_WORDS:]
        raise HostFailed(f"dnsmasq did not start: {words}", what=server.config)


def _user() -> str:
    for name in USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return "root"


# --- leases

_LINE = re.compile(r"(\d+) (\S+) (\S+) (\S+) (\S+)")


def leases(server: Dnsmasq) -> list[Lease]:
    """What a server has given. It writes its file in place: a line that is not whole yet is read again."""
    for _ in range(READINGS):
        try:
            text = Path(server.leases).read_text(errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HostFailed(f"cannot read {server.leases}: {error.strerror}", what=server.leases) from None
        if not text or text.endswith("\n"):
            break
        time.sleep(PAUSE)
    return [lease for line in text.splitlines() if (lease := parse_lease(line))]


def parse_lease(line: str) -> Lease | None:
    """A line of dnsmasq's lease file: expiry, MAC or IAID, address, name, client id. None for the server's own id."""
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return None
    expires, who, address, name, client = match.groups()
    hostname, client_id = (None if word == "*" else word for word in (name, client))
    if ":" in address:
        return Lease(address, int(expires), mac_of_duid(client), hostname, client_id, who.lstrip("T"))
    mac = who.rpartition("-")[2]  # another kind of hardware than Ethernet stands before it
    return Lease(address, int(expires), mac, hostname, client_id)


def mac_of_duid(duid: str) -> str | None:
    """The Ethernet address in a DUID of kind link-layer, with or without time (RFC 8415, section 11)."""
    parts = (
        [int(part, 16) for part in duid.split(":")] if re.fullmatch(r"([0-9a-fA-F]{2}:)+[0-9a-fA-F]{2}", duid) else []
    )
    ethernet = parts[2:4] == [0, 1]
    start = {(0, 1): 8, (0, 3): 4}.get((parts[0], parts[1])) if len(parts) > 4 and ethernet else None
    if start is None or len(parts) != start + 6:
        return None
    return ":".join(f"{byte:02x}" for byte in parts[start:])
