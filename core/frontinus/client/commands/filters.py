"""Network filters and their bindings to links."""

from __future__ import annotations

import argparse

from frontinus.api.engine import Engine
from frontinus.client.commands.base import FILE, XPATH, Command, Output, arg, edit, flag, read

FILTER = arg("filter", complete="filter", help="name or UUID of a network filter")
LINK = arg("link", help="the network device that a filter is bound to")
VALIDATE = flag("--validate", help="taken for the sake of scripts: what is not known is always refused")


async def _list(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.filters()
    out.value(found)
    out.table(("UUID", "Name"), [(one.uuid, one.name) for one in found])


async def _dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.filter_xml(options.filter), options)


async def _define(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.define_filter(read(options.file), validate=options.validate)
    out.value(found)
    out.done(f"Network filter {found.name} defined from {options.file}")


async def _undefine(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.undefine_filter(options.filter)
    out.done(f"Network filter {options.filter} undefined")


async def _edit(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await edit(f"Network filter {options.filter}", await engine.filter_xml(options.filter), engine.define_filter, out)


async def _bindings(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.filter_bindings()
    out.value(found)
    out.table(("Port Dev", "Filter"), [(one.link, one.filter) for one in found])


async def _binding_dumpxml(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    out.xml(await engine.filter_binding_xml(options.link), options)


async def _binding_create(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.create_filter_binding(read(options.file))
    out.value(found)
    out.done(f"Network filter binding on {found.link} created from {options.file}")


async def _binding_delete(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.delete_filter_binding(options.link)
    out.done(f"Network filter binding on {options.link} deleted")


COMMANDS = (
    Command("nwfilter-list", "list network filters", (), _list),
    Command("nwfilter-dumpxml", "print a network filter's XML", (FILTER, *XPATH), _dumpxml),
    Command("nwfilter-define", "store a network filter from XML, new or replaced", (FILE, VALIDATE), _define),
    Command("nwfilter-undefine", "forget a network filter", (FILTER,), _undefine),
    Command("nwfilter-edit", "change a network filter's XML in an editor", (FILTER,), _edit),
    Command("nwfilter-binding-list", "list the links that a filter is bound to", (), _bindings),
    Command("nwfilter-binding-dumpxml", "print a binding's XML", (LINK, *XPATH), _binding_dumpxml),
    Command("nwfilter-binding-create", "bind a filter to a link from XML", (FILE, VALIDATE), _binding_create),
    Command("nwfilter-binding-delete", "take a filter from a link", (LINK,), _binding_delete),
)
