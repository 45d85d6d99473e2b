"""The commands on pools, volumes and secrets against a mock engine, and the documents that need no engine."""

from __future__ import annotations

import argparse
import base64
import io
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from frontinus.api.descriptor import Descriptor
from frontinus.api.engine import Engine
from frontinus.api.errors import StorageFailed
from frontinus.api.views import JobView
from frontinus.client import main
from frontinus.client.commands.pools import pool_document
from frontinus.client.transfer import download
from support.shell import Shell, serving


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with serving(tmp_path) as path:
        yield Shell(path, capsys)


def test_pools_by_words(shell: Shell, tmp_path: Path) -> None:
    assert shell("pool-list").splitlines()[2].split() == ["default-pool", "active", "no"]
    assert "Pool one defined" in shell("pool-define-as", "one", "dir", "--target", "/one")
    assert "one" in shell("pool-list", "--inactive") and "one" not in shell("pool-list")
    assert "there is no folder" in shell("pool-start", "one", code=1)
    assert "built" in shell("pool-build", "one") and "started" in shell("pool-start", "one")
    shell("pool-autostart", "one")
    assert shell("pool-list", "--autostart", "--name") == "one\n"
    assert "100.00 GiB" in shell("pool-info", "one") and "107374182400" in shell("pool-info", "one", "--bytes")
    assert shell("pool-name", shell("pool-uuid", "one").strip()) == "one\n"
    assert "<path>/one</path>" in shell("pool-dumpxml", "one")
    assert "is active" in shell("pool-undefine", "one", code=1)
    for verb in ("pool-refresh", "pool-destroy", "pool-delete", "pool-undefine"):
        shell(verb, "one")
    assert "no pool 'one'" in shell("pool-info", "one", code=1)
    file = tmp_path / "two.xml"
    file.write_text("<pool type='dir'><name>two</name><target><path>/two</path></target></pool>")
    assert "created" in shell("pool-create", str(file), "--build")
    assert json.loads(shell("--json", "pool-info", "two"))["persistent"] is False
    assert "<pool type='netfs'" in shell("pool-capabilities")


def test_events_of_pools_and_secrets(shell: Shell, tmp_path: Path) -> None:
    """Each listens until what somebody else does shortly after is told."""
    secret = tmp_path / "secret.xml"
    secret.write_text("<secret><usage type='tls'><name>n</name></usage></secret>")

    def heard(*listening: str, doing: tuple[str, ...]) -> str:
        with shell.meanwhile(*doing):
            return shell(*listening, "--timeout", "60")

    refreshed = "event 'refresh' for storage pool default-pool\nevents received: 1\n"
    for listening in (("pool-event",), ("event", "--pool"), ("event", "--pool", "default-pool", "--event", "refresh")):
        assert heard(*listening, doing=("pool-refresh", "default-pool")) == refreshed
    assert ": Stopped" in heard("pool-event", "--event", "lifecycle", doing=("pool-destroy", "default-pool"))
    assert ": Defined" in heard("secret-event", doing=("secret-define", str(secret)))
    assert shell("secret-event", "--list") == "lifecycle\nvalue-changed\n"
    assert "no pool 'x'" in shell("event", "--pool", "x", code=1)


def test_volumes_by_words(shell: Shell, tmp_path: Path) -> None:
    assert "created" in shell("vol-create-as", "default-pool", "a", "1MiB", "--format", "qcow2")
    assert shell("vol-list", "default-pool").splitlines()[2].split() == ["a", "/default-pool/a"]
    assert "1.00 MiB" in shell("vol-info", "a", "--pool", "default-pool")
    assert "cloned" in shell("vol-clone", "a", "b", "--pool", "default-pool")
    assert "<name>b</name>" in shell("vol-dumpxml", "/default-pool/b")
    assert "changed to 2097152" in shell("vol-resize", "b", "2MiB", "--pool", "default-pool")
    assert shell("vol-pool", "/default-pool/b") == "default-pool\n"
    assert (
        shell("vol-name", "/default-pool/b") == "b\n"
        and shell("vol-path", "b", "--pool", "default-pool") == "/default-pool/b\n"
    )
    below = ("--backing-vol", "a", "--backing-vol-format", "qcow2")
    shell("vol-create-as", "default-pool", "top", "1MiB", "--format", "qcow2", *below)
    assert "<backingStore>" in shell("vol-dumpxml", "top", "--pool", "default-pool")
    shell("vol-create-as", "default-pool", "raw", "6")
    (tmp_path / "in").write_bytes(b"bytes!")
    shell("vol-upload", "raw", str(tmp_path / "in"), "--pool", "default-pool")
    shell("vol-download", "raw", str(tmp_path / "out"), "--pool", "default-pool", "--sparse")
    assert (tmp_path / "out").read_bytes() == b"bytes!"
    (tmp_path / "long").write_bytes(b"more than six")
    assert "more was sent" in shell("vol-upload", "raw", str(tmp_path / "long"), "--pool", "default-pool", code=1)
    assert "more was sent" in shell("job-list", "--all") and "upload" not in shell("job-list")
    assert "has ended" in shell("job-abort", "1", code=1) and "no job" in shell("job-abort", "999", code=1)
    assert "wiped" in shell("vol-wipe", "raw", "--pool", "default-pool", "--algorithm", "dod")
    assert "is not encrypted" not in shell("vol-delete", "/default-pool/raw")
    assert "no volume 'raw'" in shell("vol-info", "raw", "--pool", "default-pool", code=1)
    assert "no active pool" in shell("vol-info", "/nowhere", code=1)


class Jobs:
    """An engine that is asked for its jobs alone."""

    def __init__(self, **job: object) -> None:
        self._job = JobView(id="1", kind="download", started=1.0, ended=2.0, **job)  # type: ignore[arg-type]

    async def jobs(self) -> list[JobView]:
        return [self._job]


async def test_a_download_that_ended_early_is_told_of(tmp_path: Path) -> None:
    """One of a volume that has become smaller is whole."""

    async def taken(jobs: Jobs, total: int) -> int:
        ours, theirs = socket.socketpair()
        with ours:
            ours.sendall(b"abc")
        engine = cast("Engine", jobs)
        return await download(engine, Descriptor(theirs.detach()), str(tmp_path / "out"), total, sparse=False)

    for state in ("failed", "cancelled"):
        with pytest.raises(StorageFailed, match="the disk broke"):
            await taken(Jobs(state=state, error="the disk broke"), 6)
    with pytest.raises(StorageFailed, match="3 bytes of 6"):
        await taken(Jobs(state="cancelled"), 6)
    assert await taken(Jobs(state="completed"), 6) == 3
    assert await taken(Jobs(state="failed", error="another one"), 3) == 3


def test_a_value_never_stands_in_an_argument(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "s.xml"
    file.write_text("<secret><description>d</description><usage type='ceph'><name>n</name></usage></secret>")
    uuid = shell("secret-define", str(file)).split()[1]
    assert uuid in shell("secret-list") and "ceph n" in shell("secret-list")
    (tmp_path / "value").write_bytes(base64.b64encode(b"one"))
    shell("secret-set-value", uuid, "--file", str(tmp_path / "value"))
    assert shell("secret-get-value", uuid) == base64.b64encode(b"one").decode() + "\n"
    (tmp_path / "lines").write_bytes(b"b25\nl\n")
    shell("secret-set-value", uuid, "--file", str(tmp_path / "lines"))
    (tmp_path / "wrong").write_bytes(b"no base64!!")
    assert "not in base64" in shell("secret-set-value", uuid, "--file", str(tmp_path / "wrong"), code=1)
    assert base64.b64decode(shell("secret-get-value", uuid)) == b"one"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"two")))
    shell("secret-set-value", uuid, "--plain")
    assert base64.b64decode(shell("secret-get-value", uuid)) == b"two"
    monkeypatch.setattr("getpass.getpass", lambda prompt: "three")
    shell("secret-set-value", uuid, "--interactive")
    assert base64.b64decode(shell("secret-get-value", uuid)) == b"three"
    with pytest.raises(SystemExit):
        main.main(["secret-set-value", uuid, base64.b64encode(b"four").decode()])
    assert "encrypted with a key" not in shell("secret-info", uuid) and "in memory only" in shell("secret-info", uuid)
    assert "<description>d</description>" in shell("secret-dumpxml", uuid)
    shell("secret-undefine", uuid)
    assert "no secret" in shell("secret-info", uuid, code=1)


def test_a_pool_of_options() -> None:
    options = argparse.Namespace(
        name="n", type="scsi", source_host="h", source_path=None, source_dev="d", source_name="s", target="/t",
        source_format=None, source_protocol_ver=None, source_initiator="iqn.a", auth_type="chap", auth_username="u",
        secret_usage="x", secret_uuid=None, adapter_name=None, adapter_wwnn="1", adapter_wwpn="2", adapter_parent=None,
    )  # fmt: skip
    text = pool_document(options)
    for part in ('<host name="h"/>', '<device path="d"/>', '<iqn name="iqn.a"/>', '<adapter wwnn="1" wwpn="2"/>',
                 '<secret usage="x"/>', "<path>/t</path>"):  # fmt: skip
        assert part in text


def test_documents_without_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p").write_text("<pool type='dir'><name>x</name><target><path>//p//</path></target></pool>")
    (tmp_path / "v").write_text("<volume><name>v</name><capacity unit='KiB'>1</capacity></volume>")
    (tmp_path / "s").write_text("<secret><usage type='tls'/></secret>")
    for kind, said in (("pool", "<path>/p</path>"), ("volume", "<capacity unit='bytes'>1024</capacity>")):
        assert main.main(["xml", kind, str(tmp_path / kind[0]), str(tmp_path / "nothing")]) == 0
        first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert said in first["xml"] and second["error"]["code"] == "storage-failed"
    main.main(["xml", "secret", str(tmp_path / "s")])
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "invalid-xml"
    main.main(["xml", "volume", "--pool", str(tmp_path / "p"), str(tmp_path / "v")])
    assert "<format type='raw'/>" in json.loads(capsys.readouterr().out)["xml"]
