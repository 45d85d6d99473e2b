"""A disk on an SSH server, with a key file and known hosts: nbdkit reaches it for QEMU, and ends with the guest or the disk."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError, NoSuchSecret
from support import traces
from support.ports import free_port
from trial import Daemon

pytestmark = pytest.mark.needs("root", "nbdkit", "/usr/sbin/sshd")
GUEST = """<domain type='qemu'><name>far</name><uuid>0c2b7bb0-9a2e-4a35-b6f4-0d2c2f1f3d4e</uuid><memory unit='MiB'>64</memory>
<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices>{}</devices></domain>"""
DISK = """<disk type='network'><driver name='qemu' type='raw'/><source protocol='ssh' name='{image}'>
<host name='127.0.0.1' port='{port}'/><identity username='root' keyfile='{key}'/><knownHosts path='{known}'/></source>
<target dev='vda' bus='virtio'/></disk>"""
CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host
AuthorizedKeysFile {place}/authorized
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""
MIB = 2**20


@dataclass(frozen=True)
class Server:
    """An SSH server of the test's own, which lets one key in."""

    port: int
    image: Path
    key: Path
    known: Path

    def disk(self, known: Path | None = None) -> str:
        return DISK.format(port=self.port, image=self.image, key=self.key, known=known or self.known)


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    for name in ("host", "key", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    port = free_port()
    (place / "authorized").write_text((place / "key.pub").read_text())
    for file, name in (("known", "host"), ("unknown", "other")):
        (place / file).write_text(f"[127.0.0.1]:{port} {(place / f'{name}.pub').read_text()}")
    (place / "image").write_bytes(b"far" + bytes(3 * MIB - 3))
    (place / "sshd.conf").write_text(CONFIG.format(port=port, place=place))
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(place / "sshd.conf")], stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield Server(port, place / "image", place / "key", place / "known")
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None and time.monotonic() < deadline, "sshd does not listen"
        time.sleep(0.05)


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


async def look(engine: Engine) -> None:
    """QEMU finds the disk as large as it is."""
    answer = await engine.monitor_command("far", json.dumps({"execute": "query-block"}))
    (found,) = [d["inserted"]["image"] for d in json.loads(answer)["return"] if "virtio-disk0" in d.get("qdev", "")]
    assert found["virtual-size"] == 3 * MIB


def helpers(daemon: Daemon) -> list[str]:
    return [line for line in traces.processes(f"{daemon.folder}/state").values() if line.startswith("/usr/bin/nbdkit")]


async def test_a_guest_has_a_disk_on_an_ssh_server(daemon: Daemon, engine: Engine, server: Server) -> None:
    await engine.define(GUEST.format(server.disk()))
    await engine.start("far", paused=True)
    await look(engine)
    (line,) = helpers(daemon)
    assert f"identity={server.key}" in line
    await engine.destroy("far")
    assert not helpers(daemon)


async def test_a_server_that_is_another_is_not_trusted(daemon: Daemon, engine: Engine, server: Server) -> None:
    await engine.define(GUEST.format(server.disk(known=server.known.with_name("unknown"))))
    with pytest.raises(FrontinusError):
        await engine.start("far", paused=True)
    assert not helpers(daemon)


async def test_it_comes_and_goes(daemon: Daemon, engine: Engine, server: Server) -> None:
    await engine.define(GUEST.format(""))
    await engine.start("far", paused=True)
    await engine.attach_device("far", server.disk(), live=True)
    await look(engine)
    assert len(helpers(daemon)) == 1
    await engine.destroy("far")
    assert not helpers(daemon)


async def test_a_password_is_the_secret_that_the_login_names_by_its_use(
    daemon: Daemon, engine: Engine, server: Server
) -> None:
    login = "<auth username='root'><secret type='iscsi' usage='far.example'/></auth><source"
    disk = server.disk().replace("<source", login)
    await engine.define(GUEST.format(disk))
    with pytest.raises(NoSuchSecret, match="far.example"):
        await engine.start("far", paused=True)
    secret = await engine.define_secret(
        "<secret ephemeral='no' private='yes'><usage type='iscsi'><target>far.example</target></usage></secret>"
    )
    await engine.set_secret_value(secret.uuid, b"geheim42")
    await engine.start("far", paused=True)
    await look(engine)  # the key lets it in; the password was taken from a descriptor
    (line,) = helpers(daemon)
    assert "password=-10" in line and "geheim42" not in line
