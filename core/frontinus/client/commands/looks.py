"""Short questions about a guest: sizes of disks, displays, numbers of vCPUs, times of CPUs, states of links."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from urllib.parse import quote

from lxml import etree

from frontinus.api.engine import Engine
from frontinus.api.errors import FrontinusError, InvalidValue, NoSuchDevice, WrongState
from frontinus.api.views import BlockStats, GuestView
from frontinus.client.commands.base import GUEST, SCOPE, Command, Output, arg, flag

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
SIZES = ("capacity", "allocation", "physical")


async def _block_info(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    blocks = await _blocks(engine, options.guest)
    chosen = [b for b in blocks if options.all or options.device in (b.name, b.path)]
    if not chosen:
        raise InvalidValue(f"the guest has no disk '{options.device or ''}'", field="device")
    out.value([{name: getattr(block, name) for name in ("name", *SIZES)} for block in chosen])
    rows = [[_size(getattr(block, name), human=options.human) for name in SIZES] for block in chosen]
    if options.all:
        out.table(["Target", "Capacity", "Allocation", "Physical"],
                  [[block.name, *row] for block, row in zip(chosen, rows, strict=True)])  # fmt: skip
    else:
        out.pairs([(name.capitalize(), value) for name, value in zip(SIZES, rows[0], strict=True)])


async def _blocks(engine: Engine, guest: str) -> list[BlockStats]:
    """Figures of a guest's disks; while it is off, of those that are volumes of a pool."""
    view = await engine.guest(guest)
    if view.active:
        return list((await engine.stats([view.uuid], ["block"]))[0].blocks)
    disks = etree.fromstring(await engine.guest_xml(guest)).findall("devices/disk")
    return [await _as_volume(engine, index, disk) for index, disk in enumerate(disks)]


async def _as_volume(engine: Engine, index: int, disk: etree._Element) -> BlockStats:
    source, target = disk.find("source"), disk.find("target")
    path = (source.get("file") or source.get("dev")) if source is not None else None
    name = (target.get("dev") if target is not None else None) or ""
    try:
        found = await engine.volume_by_path(path or "")
    except FrontinusError:
        return BlockStats(index=index, name=name, path=path)
    return BlockStats(index=index, name=name, path=path, capacity=found.capacity, allocation=found.allocation,
                      physical=found.physical)  # fmt: skip


def _size(value: int | None, *, human: bool) -> str:
    if value is None:
        return "-"
    if not human:
        return str(value)
    power = min(max(value.bit_length() - 1, 0) // 10, len(UNITS) - 1)
    return f"{value / 1024**power:.3f} {UNITS[power]}"


def uris(xml: str, kind: str | None, *, secure: bool = False) -> Iterator[str]:
    """Where the displays of a running guest's XML can be reached, as virsh writes it: VNC by display, others by port.

    `secure`: with their passwords.
    """
    for graphics in etree.fromstring(xml).findall("devices/graphics"):
        protocol, listen = graphics.get("type", ""), graphics.find("listen")
        if kind not in (None, protocol):
            continue
        unix = graphics.get("socket") or (listen.get("socket") if listen is not None else None)
        port, tls = int(graphics.get("port") or -1), int(graphics.get("tlsPort") or -1)
        host = graphics.get("listen") or "localhost"
        host = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        if unix:
            yield f"{protocol}+unix://{unix}"
        elif protocol == "vnc" and port > 0:
            yield f"vnc://{word(graphics) if secure else ''}{host}:{port - 5900}"
        elif port > 0 or tls > 0:
            more = [f"tls-port={tls}"] if tls > 0 else []
            more += [f"password={quote(graphics.get('passwd', ''))}"] if secure and graphics.get("passwd") else []
            yield f"{protocol}://{host}{f':{port}' if port > 0 else ''}{'?' if more else ''}{'&'.join(more)}"


def word(graphics: etree._Element) -> str:
    """The password of a VNC server as its address has it."""
    return f":{quote(graphics.get('passwd', ''))}@" if graphics.get("passwd") else ""


async def _displays(engine: Engine, guest: str, kind: str | None, *, secure: bool = False) -> list[str]:
    if not (await engine.guest(guest)).active:
        raise WrongState(f"guest '{guest}' is not running")
    return list(uris(await engine.guest_xml(guest, ["secure"] if secure else []), kind, secure=secure))


async def _display(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await _displays(engine, options.guest, options.type, secure=options.include_password)
    if not found:
        raise NoSuchDevice("no graphical display found")
    out.value(found)
    for uri in found if options.all else found[:1]:
        out.line(uri)


async def _vnc_display(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await _displays(engine, options.guest, "vnc")
    if not found:
        raise WrongState(f"guest '{options.guest}' has no VNC display")
    out.text(found[0].removeprefix("vnc://localhost").removeprefix("vnc://"))


COUNTS = (("maximum", "config"), ("maximum", "live"), ("current", "config"), ("current", "live"))


async def _vcpu_counts(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    view = await engine.guest(options.guest)
    if options.guest_view:
        out.text(str(len((await engine.guest_vcpus(options.guest)).online)))
        return
    counts = [(which, where, await _count(engine, view, which, where)) for which, where in COUNTS
              if where == "config" or view.active]  # fmt: skip
    sides, kinds = _asked(options, ("live", "config")), _asked(options, ("maximum", "active"))
    chosen = [
        row for row in counts if (not sides or row[1] in sides)
        and (not kinds or ("maximum" if row[0] == "maximum" else "active") in kinds)
    ]  # fmt: skip
    out.value([dict(zip(("count", "of", "vcpus"), row, strict=True)) for row in chosen])
    for which, where, count in chosen:
        out.line(str(count) if sides and kinds else f"{which.ljust(12)} {where.ljust(12)} {str(count).rjust(3)}")


def _asked(options: argparse.Namespace, names: tuple[str, ...]) -> set[str]:
    return {name for name in names if getattr(options, name)}


async def _count(engine: Engine, view: GuestView, which: str, where: str) -> int:
    if where == "live" or not view.active:
        return view.max_vcpus if which == "maximum" else view.vcpus
    vcpu = etree.fromstring(await engine.guest_xml(view.uuid, ["inactive"])).find("vcpu")
    whole = int((vcpu.text if vcpu is not None else None) or 1)
    return whole if which == "maximum" or vcpu is None else int(vcpu.get("current") or whole)


async def _cpu_stats(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    cpu = (await engine.stats([options.guest], ["cpu"]))[0].cpu
    if cpu is None:
        raise WrongState(f"guest '{options.guest}' is not running")
    out.value(cpu)
    out.line("Total:")
    for title, value in (("cpu_time", cpu.time), ("user_time", cpu.user), ("system_time", cpu.system)):
        if value is not None:
            out.line(f"\t{title.ljust(12)} {value / 1e9:14.9f} seconds")


async def _link(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    xml = await engine.guest_xml(options.guest, ["inactive"] if options.config else [])
    for nic in etree.fromstring(xml).findall("devices/interface"):
        mac, target, link = nic.find("mac"), nic.find("target"), nic.find("link")
        if options.interface in (mac.get("address") if mac is not None else None,
                                 target.get("dev") if target is not None else None):  # fmt: skip
            state = (link.get("state") if link is not None else None) or "up"
            out.text(f"{options.interface} {state}")
            return
    raise InvalidValue(f"the guest has no NIC '{options.interface}'", field="interface")


COMMANDS = (
    Command("domblkinfo", "show the sizes of a guest's disks", (
        GUEST, arg("device", nargs="?", help="target or path"), flag("--all"), flag("--human")), _block_info),
    Command("domdisplay", "print where a guest's displays can be reached", (
        GUEST, arg("--type", help="only of this kind: vnc, spice"), flag("--all", help="not only the first"),
        flag("--include-password")), _display),
    Command("vncdisplay", "print a guest's VNC display", (GUEST,), _vnc_display),
    Command("vcpucount", "show how many vCPUs a guest has", (
        GUEST, flag("--maximum"), flag("--active"), *SCOPE,
        arg("--guest", dest="guest_view", action="store_true", help="as its agent counts them")), _vcpu_counts),
    Command("cpu-stats", "show how much CPU time a guest took", (GUEST, flag("--total")), _cpu_stats),
    Command("domif-getlink", "show whether a NIC's link is up", (
        GUEST, arg("interface", help="tap or MAC address"), flag("--config")), _link),
)  # fmt: skip
