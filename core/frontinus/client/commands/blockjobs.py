"""Work on the disks of running guests, in virsh's words."""

from __future__ import annotations

import argparse
from xml.sax.saxutils import quoteattr

from frontinus.api.blockjobs import BlockJobView
from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue
from frontinus.client.commands.base import GUEST, Command, Output, arg, flag, read, size

KINDS = {"pull": "Block Pull", "copy": "Block Copy", "commit": "Block Commit", "active-commit": "Active Block Commit",
         "backup": "Backup"}  # fmt: skip


def _target(options: argparse.Namespace) -> str:
    """The <disk> that a copy goes to."""
    if options.xml:
        return read(options.xml)
    dest = options.to or options.dest
    if not dest:
        raise InvalidValue("give --xml or --dest", field="dest")
    kind, place = ("block", "dev") if options.blockdev else ("file", "file")
    driver = f"<driver type={quoteattr(options.format)}/>" if options.format else ""
    return f"<disk type='{kind}'>{driver}<source {place}={quoteattr(dest)}/></disk>"


async def _copy(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    names = {"shallow": "shallow", "reuse_external": "reuse-external", "transient_job": "transient",
             "synchronous_writes": "synchronous"}  # fmt: skip
    flags = [word for name, word in names.items() if getattr(options, name)]
    target = _target(options)
    if options.print_xml:
        out.text(target)
        return 0
    await engine.block_copy(options.guest, options.path, target, _bandwidth(options) or 0, options.granularity,
                            options.buf_size, flags)  # type: ignore[arg-type]  # fmt: skip
    return await _after(engine, options, out, "Block Copy", ready=True)


async def _commit(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    active = options.active or options.pivot or options.keep_overlay
    flags = [*(["active"] if active else []), *(["shallow"] if options.shallow else []),
             *(["delete"] if options.delete else []), *(["relative"] if options.keep_relative else [])]  # fmt: skip
    await engine.block_commit(options.guest, options.path, options.base, options.top,
                              _bandwidth(options) or 0, flags)  # type: ignore[arg-type]  # fmt: skip
    return await _after(engine, options, out, "Active Block Commit" if active else "Block Commit", ready=active)


async def _pull(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    await engine.block_pull(options.guest, options.path, options.base, _bandwidth(options) or 0,
                            options.keep_relative)  # fmt: skip
    return await _after(engine, options, out, "Block Pull", ready=False)


async def _after(engine: Engine, options: argparse.Namespace, out: Output, what: str, *, ready: bool) -> int:
    """Wait where that was asked for: for a mirror to be in step, then to go over or end as was said; for others to end."""
    pivot, finish = getattr(options, "pivot", False), getattr(options, "finish", False)
    finish = finish or getattr(options, "keep_overlay", False)
    if not (options.wait or pivot or finish):
        out.line(f"{what} started")
        return 0
    from frontinus.client.progress import watch_disk

    code = await watch_disk(engine, options.guest, options.path, what, out, options.timeout, wait=not options.nowait)
    if code or not ready:
        return code
    if pivot or finish:
        await engine.abort_block_job(options.guest, options.path, ["pivot"] if pivot else [])
    out.done("Successfully pivoted" if pivot else "Successfully copied" if finish else "Now in mirroring phase")
    return 0


async def _job(engine: Engine, options: argparse.Namespace, out: Output) -> int:
    if options.abort or options.pivot or options.nowait:
        flags = [*(["pivot"] if options.pivot else []), *(["async"] if options.nowait else [])]
        await engine.abort_block_job(options.guest, options.path, flags)  # type: ignore[arg-type]
        return 0
    if (bandwidth := _bandwidth(options)) is not None:
        await engine.set_block_job_speed(options.guest, options.path, bandwidth)
        return 0
    view = await engine.block_job(options.guest, options.path)
    out.value(view)
    if options.raw:
        for name, value in _raw(view) if view is not None else ():
            out.line(f" {name}={value}")
        return 0
    if view is None:
        out.line(f"No current block job for {options.path}")
        return 0
    out.line(f"{KINDS.get(view.kind, 'Unknown job')}: {_percent(view)}{_limit(view, in_bytes=options.bytes)}")
    return 0


def _percent(view: BlockJobView) -> str:
    done = 100 if view.ready else int(100 * view.current / view.end) if view.end else 0
    return f"[{done:3d} %]"


def _limit(view: BlockJobView, *, in_bytes: bool) -> str:
    if not view.bandwidth:
        return ""
    exact = f"    Bandwidth limit: {view.bandwidth} bytes/s"
    return exact if in_bytes else f"{exact} ({view.bandwidth / 2**20:.3f} MiB/s)"


def _raw(view: BlockJobView) -> list[tuple[str, object]]:
    """A job as names and numbers."""
    return [
        ("type", KINDS.get(view.kind, "Unknown job")),
        ("bandwidth", view.bandwidth),
        ("cur", view.current),
        ("end", view.end),
    ]


def _bandwidth(options: argparse.Namespace) -> int | None:
    """Bytes a second; a bare number is MiB, or bytes where that is said. Raises InvalidValue."""
    try:
        return None if options.bandwidth is None else size("b" if options.bytes else "mib")(options.bandwidth)
    except argparse.ArgumentTypeError as error:
        raise InvalidValue(str(error), field="bandwidth") from None


async def _threshold(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.set_block_threshold(options.guest, options.dev, options.threshold)


PATH = arg("path", help="a disk: its target, or its file")
BANDWIDTH = (arg("--bandwidth", help="a second; without a unit MiB"), flag("--bytes", help="without a unit bytes"))
NOWAIT = arg("--async", dest="nowait", action="store_true", help="do not wait for its end")
WAIT = (flag("--wait", help="with a bar"), flag("--verbose", help="as always with --wait"),
        arg("--timeout", type=float, help="seconds to wait before it is aborted"), NOWAIT)  # fmt: skip

COMMANDS = (
    Command("blockcopy", "mirror a disk to another image", (
        GUEST, PATH, arg("dest", nargs="?", complete="file"), arg("--dest", dest="to", complete="file"),
        flag("--blockdev"), flag("--print-xml", help="print where to, and do nothing"), *BANDWIDTH, *WAIT,
        arg("--xml", complete="file"), arg("--format"), arg("--granularity", type=size("b"), default=0),
        arg("--buf-size", type=size("b"), default=0), flag("--shallow"), flag("--reuse-external"), flag("--transient-job"),
        flag("--synchronous-writes"), flag("--pivot", help="wait, then go over to it"),
        flag("--finish", help="wait, then end with it")), _copy),
    Command("blockcommit", "move what layers hold into one below", (
        GUEST, PATH, *BANDWIDTH, arg("--base"), arg("--top"), flag("--shallow"), flag("--active"), flag("--delete"),
        flag("--pivot", help="wait, then go over to the base"), flag("--keep-overlay", help="wait, then end without it"),
        flag("--keep-relative"), *WAIT), _commit),
    Command("blockpull", "take into a disk what layers below hold", (
        GUEST, PATH, *BANDWIDTH, arg("--base"), flag("--keep-relative"), *WAIT), _pull),
    Command("blockjob", "tell about the job on a disk, change or end it", (
        GUEST, PATH, flag("--info"), flag("--abort"), flag("--pivot"), NOWAIT,
        flag("--raw", help="as names and numbers"), *BANDWIDTH), _job),
    Command("domblkthreshold", "tell by an event when a layer is written beyond a size", (
        GUEST, arg("dev", help="vda, or vda[3] for a layer below"), arg("threshold", type=size("b"))), _threshold),
)  # fmt: skip
