"""Storage pools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from frontinus.api.engine import Engine
from frontinus.api.storage import BuildFlag, PoolView
from frontinus.client.commands.base import FILE, XPATH, Argument, Command, Output, arg, autostart, edit, flag, read
from frontinus.client.commands.units import pretty

POOL = arg("pool", complete="pool", help="name or UUID of a pool")
BUILD = (flag("--build", help="build it first"), flag("--overwrite", help="over whatever is there"),
         flag("--no-overwrite", help="only where nothing is there"))  # fmt: skip

PARENT = ("parent", "parent_wwnn", "parent_wwpn", "parent_fabric_wwn")
"""Attributes of <adapter> that say which host bus adapter a virtual one is of."""


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    pools = [pool for pool in await engine.pools() if _wanted(pool, options)]
    out.value(pools)
    if options.name or options.uuid:
        for pool in pools:
            out.line(pool.uuid if options.uuid else pool.name)
        return
    details = ["Persistent", "Capacity", "Allocation", "Available"] if options.details else []
    rows = []
    for pool in pools:
        sizes = [pretty(size) if pool.active else "-" for size in (pool.capacity, pool.allocation, pool.available)]
        more = ["yes" if pool.persistent else "no", *sizes] if details else []
        state = pool.state if options.details or not pool.active else "active"
        rows.append([pool.name, state, "yes" if pool.autostart else "no", *more])
    out.table(["Name", "State", "Autostart", *details], rows)


def _wanted(pool: PoolView, options: argparse.Namespace) -> bool:
    shown = options.all or pool.active is not options.inactive
    kinds = options.type.split(",") if options.type else None
    return (
        shown
        and (kinds is None or pool.kind in kinds)
        and not (options.autostart and not pool.autostart)
        and not (options.no_autostart and pool.autostart)
        and not (options.persistent and not pool.persistent)
        and not (options.transient and pool.persistent)
    )


async def _info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    pool = await engine.pool(options.pool)
    out.value(pool)
    sizes = [("Capacity", pool.capacity), ("Allocation", pool.allocation), ("Available", pool.available)]
    out.pairs([
        ("Name", pool.name), ("UUID", pool.uuid), ("State", pool.state), ("Persistent", "yes" if pool.persistent else "no"),
        ("Autostart", "yes" if pool.autostart else "no"),
        *((name, size if options.bytes else pretty(size)) for name, size in sizes if pool.active),
    ])  # fmt: skip


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.pool_xml(options.pool, inactive=options.inactive), options)


async def _define(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    pool = await engine.define_pool(read(options.file), validate=options.validate)
    out.value(pool)
    out.done(f"Pool {pool.name} defined from {options.file}")


async def _create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    pool = await engine.create_pool(read(options.file), build=_flags(options))
    out.value(pool)
    out.done(f"Pool {pool.name} created from {options.file}")


def _flags(options: argparse.Namespace) -> list[BuildFlag] | None:
    """How to build, None for not at all."""
    found: list[BuildFlag] = []
    if options.overwrite:
        found.append("overwrite")
    if options.no_overwrite:
        found.append("no-overwrite")
    return found if found or getattr(options, "build", False) else None


async def _define_as(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = pool_document(options)
    if options.print_xml:
        out.text(xml)
        return
    pool = await engine.define_pool(xml)
    out.value(pool)
    out.done(f"Pool {pool.name} defined")


async def _create_as(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = pool_document(options)
    if options.print_xml:
        out.text(xml)
        return
    pool = await engine.create_pool(xml, build=_flags(options))
    out.value(pool)
    out.done(f"Pool {pool.name} created")


def pool_document(options: argparse.Namespace) -> str:
    """The pool that the options describe."""
    from lxml import etree

    root = etree.Element("pool", type=options.type)
    etree.SubElement(root, "name").text = options.name
    source = etree.SubElement(root, "source")
    for tag, attribute, value in (
        ("host", "name", options.source_host), ("dir", "path", options.source_path), ("device", "path", options.source_dev),
        ("format", "type", options.source_format), ("protocol", "ver", options.source_protocol_ver),
    ):  # fmt: skip
        if value:
            etree.SubElement(source, tag).set(attribute, value)
    if options.source_name:
        etree.SubElement(source, "name").text = options.source_name
    if options.source_initiator:
        etree.SubElement(etree.SubElement(source, "initiator"), "iqn", name=options.source_initiator)
    adapter = {name: getattr(options, f"adapter_{name}", None) for name in ("name", "wwnn", "wwpn", *PARENT)}
    if any(adapter.values()):
        etree.SubElement(source, "adapter", {name: value for name, value in adapter.items() if value})
    if options.auth_type:
        auth = etree.SubElement(source, "auth", type=options.auth_type, username=options.auth_username or "")
        by = {"usage": options.secret_usage, "uuid": options.secret_uuid}
        etree.SubElement(auth, "secret", {name: value for name, value in by.items() if value})
    if options.target:
        etree.SubElement(etree.SubElement(root, "target"), "path").text = options.target
    etree.indent(root, "  ")
    text: str = etree.tostring(root, encoding="unicode")
    return text + "\n"


async def _build(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.build_pool(options.pool, _flags(options) or [])
    out.done(f"Pool {options.pool} built")


async def _start(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.value(await engine.start_pool(options.pool, build=_flags(options)))
    out.done(f"Pool {options.pool} started")


async def _refresh(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.value(await engine.refresh_pool(options.pool))
    out.done(f"Pool {options.pool} refreshed")


async def _destroy(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.destroy_pool(options.pool)
    out.done(f"Pool {options.pool} destroyed")


async def _delete(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.delete_pool(options.pool)
    out.done(f"Pool {options.pool} deleted")


async def _undefine(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.undefine_pool(options.pool)
    out.done(f"Pool {options.pool} has been undefined")


async def _autostart(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await autostart(f"Pool {options.pool}", options, lambda on: engine.set_pool_autostart(options.pool, on), out)


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await edit(f"Pool {options.pool}", await engine.pool_xml(options.pool, inactive=True), engine.define_pool, out)


async def _uuid(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await engine.pool(options.pool)).uuid)


async def _name(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text((await engine.pool(options.pool)).name)


async def _capabilities(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.pool_capabilities())


async def _find(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.text(await engine.find_pool_sources(options.type, read(options.spec) if options.spec else None))


async def _find_as(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from lxml import etree

    source = etree.Element("source")
    if options.host:
        host = etree.SubElement(source, "host", name=options.host)
        if options.port:
            host.set("port", str(options.port))
    if options.initiator:
        etree.SubElement(etree.SubElement(source, "initiator"), "iqn", name=options.initiator)
    out.text(await engine.find_pool_sources(options.type, etree.tostring(source, encoding="unicode")))


AS: Sequence[Argument] = (
    flag("--print-xml", help="print the document and do nothing"),
    arg("--source-host"), arg("--source-path"), arg("--source-dev"), arg("--source-name"), arg("--target"),
    arg("--source-format"), arg("--auth-type"), arg("--auth-username"), arg("--secret-usage"), arg("--secret-uuid"),
    arg("--adapter-name"), arg("--adapter-wwnn"), arg("--adapter-wwpn"),
    *(arg(f"--adapter-{name.replace('_', '-')}") for name in PARENT), arg("--source-protocol-ver"), arg("--source-initiator"),
    arg("name"), arg("type"),
)  # fmt: skip

COMMANDS = (
    Command("pool-list", "list pools", (
        flag("--all"), flag("--inactive"), flag("--transient"), flag("--persistent"), flag("--autostart"),
        flag("--no-autostart"), arg("--type", help="only these kinds, by commas"), flag("--details"), flag("--uuid"),
        flag("--name")), _list),
    Command("pool-info", "show a pool", (POOL, flag("--bytes", help="sizes in bytes")), _info),
    Command("pool-dumpxml", "print a pool's XML", (POOL, flag("--inactive", help="its definition"), *XPATH), _dumpxml),
    Command("pool-define", "store a pool from XML", (FILE, flag("--validate", help="refuse what is not known")), _define),
    Command("pool-define-as", "store a pool from options", AS, _define_as),
    Command("pool-create", "start a transient pool from XML", (FILE, *BUILD), _create),
    Command("pool-create-as", "start a transient pool from options", (*BUILD, *AS), _create_as),
    Command("pool-build", "make what a pool is made of", (POOL, *BUILD[1:]), _build),
    Command("pool-start", "start a pool", (POOL, *BUILD), _start),
    Command("pool-refresh", "look at a pool's volumes again", (POOL,), _refresh),
    Command("pool-destroy", "stop a pool; its data stays", (POOL,), _destroy),
    Command("pool-delete", "remove the data of an inactive pool", (POOL,), _delete),
    Command("pool-undefine", "forget an inactive pool", (POOL,), _undefine),
    Command("pool-autostart", "start a pool with the engine", (POOL, flag("--disable")), _autostart),
    Command("pool-edit", "change a pool's XML in an editor", (POOL,), _edit),
    Command("pool-uuid", "print a pool's UUID", (POOL,), _uuid),
    Command("pool-name", "print a pool's name", (POOL,), _name),
    Command("pool-capabilities", "print what kinds of pools this host can have", (), _capabilities),
    Command("find-storage-pool-sources", "print the sources of a kind of pool", (
        arg("type"), arg("spec", nargs="?", complete="file", help="a <source> that says where to look")), _find),
    Command("find-storage-pool-sources-as", "print the sources of a kind of pool", (
        arg("type"), arg("host", nargs="?"), arg("port", nargs="?", type=int), arg("initiator", nargs="?")), _find_as),
)  # fmt: skip
