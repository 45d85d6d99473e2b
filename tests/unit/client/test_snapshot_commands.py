"""The commands on snapshots, checkpoints, backups and block jobs, on a mock engine: words in, words out."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from frontinus.api.blockjobs import BlockJobView
from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.api.views import JobView
from frontinus.client.commands import find
from frontinus.client.commands.base import Output
from frontinus.client.commands.interaction import _job_rows
from frontinus.client.main import make_parser
from frontinus.client.progress import watch_disk
from frontinus.client.words import arranged
from frontinus.domain.host import Paths
from frontinus.mock.engine import ROOT, mock_engine
from support.guests import document

DISK = "<disk type='file'><driver name='qemu' type='qcow2'/><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
Run = Callable[[str], Awaitable[str]]


@pytest.fixture
async def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Run]:
    local = await mock_engine(
        Paths(*(str(tmp_path / n) for n in ("config", "state", "run", "log", "cache"))), fixture=False
    )
    engine = local.session(ROOT)
    await engine.define(document(DISK))

    async def run(line: str) -> str:
        """What a command prints, and its exit code if that is not 0."""
        words = shlex.split(line)
        if words[0] == "start":
            await engine.start("test")
            return ""
        row = find(words[0])
        assert row is not None and row.run is not None
        named, arranged_words = arranged(row, words)
        options = make_parser([named]).parse_args(arranged_words)
        code = await row.run(engine, options, Output(json=options.json))
        return capsys.readouterr().out.rstrip() + (f" [{code}]" if code else "")

    yield run
    await local.stop()


async def test_snapshots(run: Run) -> None:
    assert await run("snapshot-create-as test one 'the first'") == "Domain snapshot one created"
    assert (
        await run("snapshot-create-as test two --diskspec vda,snapshot=external,file=/x,,y")
        == "Domain snapshot two created"
    )
    assert "<source file='/x,y'/>" in await run("snapshot-dumpxml test two")
    assert await run("snapshot-list test --tree") == "one\n  |\n  +- two"
    assert await run("snapshot-list test --name --leaves") == "two"
    assert "two    " in await run("snapshot-list test --parent")
    info = await run("snapshot-info test one")
    assert "Current:        no\n" in info and "Descendants:    1\n" in info
    assert await run("snapshot-current test --name") == "two"
    assert (
        await run("snapshot-parent test two") == "one"
        and await run("snapshot-parent test one") == "'one' has no parent [1]"
    )
    assert await run("snapshot-revert test one --force") == "Domain snapshot one reverted"
    assert await run("snapshot-current test --name") == "one"
    assert await run("snapshot-current test two") == "Snapshot two set as current"
    assert await run("snapshot-delete test two --metadata") == "Domain snapshot two deleted"
    assert await run("snapshot-delete test one --children-only") == "Domain snapshot one children deleted"
    assert '"name":"one"' in await run("snapshot-list test --json")


async def test_documents_from_words(run: Run) -> None:
    assert await run("snapshot-create-as test n --memspec /m --print-xml") == (
        "<domainsnapshot><name>n</name><memory file=\"/m\"/></domainsnapshot>")  # fmt: skip
    assert await run("checkpoint-create-as test c --diskspec vda,checkpoint=bitmap,bitmap=b --print-xml") == (
        '<domaincheckpoint><name>c</name><disks><disk name="vda" checkpoint="bitmap" bitmap="b"></disk></disks></domaincheckpoint>'
    )
    with pytest.raises(InvalidValue):
        await run("snapshot-create-as test n --diskspec vda,colour=red")


async def test_editing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    await run("snapshot-create-as test one old")
    monkeypatch.setenv("VISUAL", "sed -i s/old/new/")
    assert await run("snapshot-edit test one") == "Snapshot one edited."
    assert "<description>new</description>" in await run("snapshot-dumpxml test one")
    assert await run("snapshot-edit test one") == "Snapshot one not changed."


async def test_checkpoints_and_backups(run: Run, tmp_path: Path) -> None:
    await run("start")
    assert await run("checkpoint-create-as test c1") == "Domain checkpoint c1 created"
    assert await run("checkpoint-list test --name") == "c1"
    assert "size='0'" in await run("checkpoint-dumpxml test c1 --size --no-domain")
    assert await run("checkpoint-parent test c1") == "'c1' has no parent [1]"
    mark = tmp_path / "mark.xml"
    mark.write_text("<domaincheckpoint><name>c2</name></domaincheckpoint>")
    backup = tmp_path / "backup.xml"
    backup.write_text("<domainbackup><incremental>c1</incremental></domainbackup>")
    assert await run(f"backup-begin test {backup} {mark} --wait") == "Backup started\nbackup: completed"
    assert "Parent:" in await run("checkpoint-info test c2")
    assert await run("checkpoint-delete test c1 --children") == "Domain checkpoint c1 deleted"


async def test_block_jobs(run: Run) -> None:
    await run("start")
    assert await run("blockjob test vda") == "No current block job for vda"
    assert await run("blockcopy test vda /copy --format raw --bandwidth 2") == "Block Copy started"
    assert await run("blockjob test vda") == "Block Copy: [100 %]    Bandwidth limit: 2097152 bytes/s (2.000 MiB/s)"
    assert await run("blockjob test vda --pivot") == ""
    assert (await run("blockcopy test vda --dest /other --format qcow2 --pivot")).endswith("Successfully pivoted")
    assert (await run("blockpull test vda --wait")).endswith("Block Pull: done")
    assert await run("domblkthreshold test vda 1MiB") == ""


async def test_a_job_is_told_of(run: Run) -> None:
    assert await run("domjobinfo test") == "Job type:         None"
    assert await run("snapshot-create-as test one") == "Domain snapshot one created"
    told = (await run("domjobinfo test --completed")).splitlines()
    assert [line.split()[-1] for line in told[:2]] == ["Completed", "Snapshot"]
    assert told[2].startswith("Time elapsed:") and "snapshot   completed" in await run("domjobinfo test --all")


def test_a_job_in_words() -> None:
    job = JobView(id="1", kind="backup", state="running", started=0.0, processed=3 * 2**20, total=4 * 2**20)
    rows = dict(_job_rows(job))
    assert rows["Job type"] == "Bounded" and rows["Operation"] == "Backup"
    assert (rows["File processed"], rows["File remaining"], rows["File total"]) == ("3.00 MiB", "1.00 MiB", "4.00 MiB")


class Copying:
    """An engine with a copy that never ends."""

    async def block_job(self, guest: str, disk: str) -> BlockJobView:
        return BlockJobView(guest=guest, disk=disk, kind="copy", current=1, end=2)

    async def abort_block_job(self, guest: str, disk: str, flags: list[str]) -> None:
        return None

    async def watch(self) -> AsyncIterator[object]:
        await asyncio.sleep(3600)
        yield None


async def test_nobody_listens_any_more_when_a_wait_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    before = asyncio.all_tasks()
    code = await watch_disk(cast("Engine", Copying()), "web", "vda", "Block Copy", Output(json=False), 0.01)
    assert code == 1 and "aborted after" in capsys.readouterr().err
    assert asyncio.all_tasks() == before
