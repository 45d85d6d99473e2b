"""Storage volumes. A volume is named by its name with --pool, or by its path or key."""

from __future__ import annotations

import argparse
import typing

from frontinus.api.engine import Engine
from frontinus.api.errors import NoSuchVolume
from frontinus.api.storage import ResizeFlag, VolumeFlag, VolumeView, WipeAlgorithm
from frontinus.client.commands.base import FILE, XPATH, Command, Output, arg, flag, read, size
from frontinus.client.commands.units import pretty

VOLUME = arg("vol", help="name, path or key of a volume")
POOL = arg("--pool", complete="pool", help="name or UUID of its pool")
IN_POOL = arg("pool", complete="pool", help="name or UUID of a pool")
PREALLOC = flag("--prealloc-metadata", help="lay out the metadata of qcow2 already")
FALLOC = flag("--prealloc-falloc", help="reserve room for all content as well")
FULL = flag("--prealloc-full", help="write all content as well")
VALIDATE = flag("--validate", help="refuse what is not known")
REFLINK = flag("--reflink", help="share the blocks of the original, where the file system can")


async def _find(engine: Engine, options: argparse.Namespace) -> VolumeView:
    """The volume that is meant."""
    pool: str | None = getattr(options, "pool", None) or getattr(options, "inputpool", None)
    if pool:
        return await engine.volume(pool, options.vol)
    try:
        return await engine.volume_by_key(options.vol)
    except NoSuchVolume:
        return await engine.volume_by_path(options.vol)


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    volumes = await engine.volumes(options.pool)
    out.value(volumes)
    if options.details:
        out.table(["Name", "Path", "Type", "Capacity", "Allocation"], [
            [v.name, v.path, v.kind, pretty(v.capacity), pretty(v.allocation)] for v in volumes])  # fmt: skip
    else:
        out.table(["Name", "Path"], [[v.name, v.path] for v in volumes])


async def _info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    volume = await _find(engine, options)
    out.value(volume)
    sizes = [("Capacity", volume.capacity), ("Allocation", volume.allocation)]
    sizes += [("Physical", volume.physical or 0)] if options.physical else []
    out.pairs([("Name", volume.name), ("Type", volume.kind),
               *((name, value if options.bytes else pretty(value)) for name, value in sizes)])  # fmt: skip


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    volume = await _find(engine, options)
    out.xml(await engine.volume_xml(volume.pool, volume.name), options)


def _flags(options: argparse.Namespace) -> list[VolumeFlag]:
    chosen: tuple[VolumeFlag, ...] = ("prealloc-metadata", "prealloc-falloc", "prealloc-full", "reflink", "validate")
    return [word for word in chosen if getattr(options, word.replace("-", "_"), False)]


async def _create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client.progress import watched

    work = engine.create_volume(options.pool, read(options.file), _flags(options))
    volume = await watched(engine, "create", "Creating", work)
    out.value(volume)
    out.done(f"Vol {volume.name} created from {options.file}")


async def _create_as(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client.progress import watched

    xml = await volume_document(engine, options)
    if options.print_xml:
        out.text(xml)
        return
    volume = await watched(engine, "create", "Creating", engine.create_volume(options.pool, xml, _flags(options)))
    out.value(volume)
    out.done(f"Vol {volume.name} created")


async def volume_document(engine: Engine, options: argparse.Namespace) -> str:
    """The volume that the options describe."""
    from lxml import etree

    root = etree.Element("volume")
    etree.SubElement(root, "name").text = options.name
    etree.SubElement(root, "capacity", unit="bytes").text = str(options.capacity)
    if options.allocation is not None:
        etree.SubElement(root, "allocation", unit="bytes").text = str(options.allocation)
    if options.format:
        etree.SubElement(etree.SubElement(root, "target"), "format", type=options.format)
    if options.backing_vol:
        lookup = argparse.Namespace(vol=options.backing_vol, pool=None if "/" in options.backing_vol else options.pool)
        below = etree.SubElement(root, "backingStore")
        etree.SubElement(below, "path").text = (await _find(engine, lookup)).path
        if options.backing_vol_format:
            etree.SubElement(below, "format", type=options.backing_vol_format)
    etree.indent(root, "  ")
    text: str = etree.tostring(root, encoding="unicode")
    return text + "\n"


async def _create_from(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    lookup = argparse.Namespace(
        vol=options.vol, pool=options.inputpool or (None if "/" in options.vol else options.pool)
    )
    await _copy(engine, options, out, await _find(engine, lookup), options.pool, read(options.file), "created")


async def _clone(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from lxml import etree

    source = await _find(engine, options)
    root = etree.fromstring(await engine.volume_xml(source.pool, source.name))
    for tag in ("key", "target/path", "target/timestamps", "physical", "backingStore"):
        for element in root.findall(tag):
            parent = element.getparent()
            if parent is not None:
                parent.remove(element)
    for element in root.findall("name"):
        element.text = options.newname
    xml: str = etree.tostring(root, encoding="unicode")
    if options.print_xml:
        out.text(xml)
        return
    await _copy(engine, options, out, source, source.pool, xml, "cloned from")


async def _copy(engine: Engine, options: argparse.Namespace, out: Output, source: VolumeView, pool: str, xml: str,
                word: str) -> None:  # fmt: skip
    from frontinus.client.progress import watched

    work = engine.clone_volume(pool, xml, source.pool, source.name, _flags(options))
    volume = await watched(engine, "clone", f"Copying {source.name}", work)
    out.value(volume)
    out.done(f"Vol {volume.name} cloned from {source.name}" if "cloned" in word else
             f"Vol {volume.name} created from input vol {source.name}")  # fmt: skip


async def _resize(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client.progress import watched

    volume = await _find(engine, options)
    flags: list[ResizeFlag] = [name for name in ("allocate", "delta", "shrink") if getattr(options, name)]
    work = engine.resize_volume(volume.pool, volume.name, options.capacity, flags)
    await watched(engine, "resize", "Resizing", work)
    by = "by" if options.delta else "to"
    out.done(f"Size of volume '{volume.name}' successfully changed {by} {options.capacity}")


async def _wipe(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client.progress import watched

    volume = await _find(engine, options)
    work = engine.wipe_volume(volume.pool, volume.name, options.algorithm)
    await watched(engine, "wipe", f"Wiping {volume.name}", work)
    out.done(f"Vol {options.vol} wiped")


async def _upload(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client.transfer import upload

    volume = await _find(engine, options)
    call = engine.upload_pieces if options.sparse else engine.upload_volume
    descriptor = await call(volume.pool, volume.name, options.offset, options.length)
    out.value({"bytes": await upload(engine, descriptor, options.file, sparse=options.sparse)})


async def _download(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client.transfer import download

    volume = await _find(engine, options)
    call = engine.download_pieces if options.sparse else engine.download_volume
    descriptor = await call(volume.pool, volume.name, options.offset, options.length)
    rest = max(0, (volume.capacity if volume.physical is None else volume.physical) - options.offset)
    total = min(options.length, rest) if options.length else rest
    got = await download(engine, descriptor, options.file, total, sparse=options.sparse)
    if options.file != "-":
        out.value({"bytes": got})


async def _delete(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    volume = await _find(engine, options)
    await engine.delete_volume(volume.pool, volume.name)
    out.done(f"Vol {options.vol} deleted")


async def _set_secret(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.client.progress import watched

    volume = await _find(engine, options)
    await watched(engine, "rekey", "Changing", engine.set_volume_secret(volume.pool, volume.name, options.secret))
    out.done(f"Vol {options.vol} is opened by secret {options.secret} now")


async def _path(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await _find(engine, options)).path)


async def _key(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await _find(engine, options)).key)


async def _name(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await _find(engine, options)).name)


async def _pool(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    pool = await engine.pool((await _find(engine, options)).pool)
    out.text(pool.uuid if options.uuid else pool.name)


async def _jobs(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    jobs = [job for job in await engine.jobs() if options.all or job.state == "running"]
    out.value(jobs)
    out.table(["Job", "Kind", "State", "Progress", "Reason"], [
        [j.id, j.kind, j.state, "-" if j.progress is None else f"{j.progress:.0%}", " ".join((j.error or "-").split())]
        for j in jobs])  # fmt: skip


async def _abort(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.abort_job(options.job)
    out.done(f"Job {options.job} aborted")


SPAN = (arg("--offset", type=size("b"), default=0), arg("--length", type=size("b"), default=0),
        flag("--sparse", help="holes are not sent, and stay holes"))  # fmt: skip

COMMANDS = (
    Command("vol-list", "list the volumes of a pool", (IN_POOL, flag("--details")), _list),
    Command("vol-info", "show a volume", (POOL, flag("--bytes"), flag("--physical"), VOLUME), _info),
    Command("vol-dumpxml", "print a volume's XML", (POOL, VOLUME, *XPATH), _dumpxml),
    Command("vol-create", "make a volume from XML", (PREALLOC, FALLOC, FULL, VALIDATE, IN_POOL, FILE), _create),
    Command("vol-create-as", "make a volume from options", (
        arg("--allocation", type=size("b"), help="bytes to allocate now (default: all)"), arg("--format"),
        arg("--backing-vol"), arg("--backing-vol-format"), PREALLOC, FALLOC, FULL, flag("--print-xml"), IN_POOL, arg("name"),
        arg("capacity", type=size("b"))), _create_as),
    Command("vol-create-from", "make a volume from XML and the content of another", (
        arg("--inputpool", help="the other's pool"), PREALLOC, FALLOC, FULL, REFLINK, VALIDATE, IN_POOL, FILE,
        VOLUME), _create_from),
    Command("vol-clone", "copy a volume within its pool", (
        POOL, PREALLOC, FALLOC, FULL, REFLINK, flag("--print-xml", help="print the document and do nothing"), VOLUME,
        arg("newname")), _clone),
    Command("vol-resize", "change a volume's size", (
        POOL, flag("--allocate"), flag("--delta", help="by this much"), flag("--shrink", help="to less, perhaps"), VOLUME,
        arg("capacity", type=size("b"))), _resize),
    Command("vol-wipe", "overwrite a volume", (
        POOL, arg("--algorithm", default="zero", choices=typing.get_args(WipeAlgorithm)), VOLUME), _wipe),
    Command("vol-upload", "put a file's content into a volume", (POOL, *SPAN, VOLUME, arg("file", complete="file")), _upload),
    Command("vol-download", "write a volume's content to a file", (
        POOL, *SPAN, VOLUME, arg("file", complete="file")), _download),
    Command("vol-delete", "delete a volume", (POOL, VOLUME), _delete),
    Command("vol-set-secret", "let another secret open an encrypted volume", (
        POOL, VOLUME, arg("secret", help="UUID of a secret")), _set_secret),
    Command("vol-path", "print a volume's path", (POOL, VOLUME), _path),
    Command("vol-key", "print a volume's key", (POOL, VOLUME), _key),
    Command("vol-name", "print a volume's name", (VOLUME,), _name),
    Command("job-list", "list long work: on volumes, on guests", (flag("--all", help="lately ended work too"),), _jobs),
    Command("job-abort", "abort a job", (arg("job", help="its number in job-list"),), _abort),
    Command("vol-pool", "print a volume's pool", (flag("--uuid"), VOLUME), _pool),
)  # fmt: skip
