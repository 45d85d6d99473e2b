"""Looking into a guest, and what its agent tells and does."""

from __future__ import annotations

import argparse
import getpass
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from frontinus.api.agent import KeyMode
from frontinus.api.engine import Engine
from frontinus.api.errors import InvalidValue, Unsupported
from frontinus.api.inspection import DumpFormat
from frontinus.api.options import DumpFlag
from frontinus.client.commands.base import GUEST, Command, Output, arg, chosen, flag, read, size
from frontinus.client.commands.tuning import listed, numbers
from frontinus.client.progress import watched

FORMATS: dict[str, DumpFormat] = {"elf": "raw", "kdump-zlib": "kdump-zlib", "kdump-lzo": "kdump-lzo",
                                  "kdump-snappy": "kdump-snappy", "win-dmp": "win-dmp"}  # fmt: skip


def absolute(text: str) -> str:
    """An argparse type: the engine has another working folder than we."""
    return str(Path(text).absolute())


async def _dump(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    file = options.file
    call = engine.dump_with(options.guest, file, FORMATS[options.format], chosen(options, DumpFlag))
    await watched(engine, "dump", "Dump", call)
    out.done(f"Guest '{options.guest}' dumped to {file}")


async def _domcontrol(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.control_info(options.guest)
    out.value(found)
    words = {"ok": "ok", "job": "background job", "occupied": "occupied", "error": f"error ({found.reason})"}
    out.line(words[found.state] + (f" ({found.since / 1000:.3f}s)" if found.state != "ok" else ""))


async def _domblkerror(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.disk_errors(options.guest)
    out.value(found)
    for one in found:
        out.line(f"{one.disk}: {one.error}")
    if not found:
        out.line("No errors found")


async def _dominfo_labels(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.security_labels(options.guest)
    out.value(found)
    out.table(
        ["Model", "Label", "Enforced"], [[one.model, one.label, "yes" if one.enforcing else "no"] for one in found]
    )


async def _domhostname(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.source == "lease":
        out.text(await _leased_name(engine, options.guest))
        return
    out.text(await engine.guest_hostname(options.guest))


async def _leased_name(engine: Engine, guest: str) -> str:
    """The name that the guest told the DHCP server of one of its networks. Raises InvalidValue when it told none."""
    from lxml import etree

    xml = etree.fromstring(await engine.guest_xml(guest))
    for nic in xml.findall("devices/interface[@type='network']"):
        network, mac = nic.find("source"), nic.find("mac")
        if network is not None and mac is not None:
            for lease in await engine.network_leases(network.get("network") or "", mac.get("address")):
                if lease.hostname:
                    return lease.hostname
    raise InvalidValue(f"guest '{guest}' has no lease with a name", field="source")


async def _domtime(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.sync or options.now or options.time is not None:
        seconds = int(time.time()) if options.now else options.time or 0
        await engine.set_guest_time(options.guest, seconds, 0, options.sync)
        return
    now = await engine.guest_time(options.guest)
    out.value(now)
    out.line(
        "Time: "
        + (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now.seconds)) if options.pretty else str(now.seconds))
    )


async def _domfsinfo(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    found = await engine.guest_filesystems(options.guest)
    out.value(found)
    out.table(
        ["Mountpoint", "Name", "Type", "Target"], [[f.mountpoint, f.name, f.type, ",".join(f.disks)] for f in found]
    )


async def _domfsfreeze(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    count = await engine.freeze(options.guest, options.mountpoint or ())
    out.value(count)
    out.done(f"Froze {count} filesystem(s)")


async def _domfsthaw(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    count = await engine.thaw(options.guest, options.mountpoint or ())
    out.value(count)
    out.done(f"Thawed {count} filesystem(s)")


async def _domfstrim(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.trim(options.guest, options.minimum)


async def _guestvcpus(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.cpulist is not None and (options.enable or options.disable):
        await engine.set_guest_vcpus(options.guest, options.cpulist, options.enable)
        return
    found = await engine.guest_vcpus(options.guest)
    out.value(found)
    for name in ("vcpus", "online", "offlinable"):
        out.line(f"{name.ljust(15)}: {listed(getattr(found, name))}")


async def _password(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    password = options.password if options.password is not None else getpass.getpass()
    await engine.set_user_password(options.guest, options.user, password, options.encrypted)
    out.done(f"Password set successfully for {options.user} in {options.guest}")


async def _keys(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    keys = await engine.authorized_keys(options.guest, options.user)
    out.value(keys)
    for key in keys:
        out.line(key)


async def _set_keys(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    """Without a file --reset takes all keys away, and --remove nothing."""
    lines = read(options.file).splitlines() if options.file else []
    keys = [line for line in lines if line.strip() and not line.startswith("#")]
    if options.reset and options.remove:
        raise InvalidValue("--reset and --remove exclude each other", field="reset")
    mode: KeyMode = "replace" if options.reset else "remove" if options.remove else "append"
    await engine.set_authorized_keys(options.guest, options.user, keys, mode)


async def _timeout(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    """virsh's -2 is for ever (our longest), -1 what is usual, 0 no wait (our shortest)."""
    seconds = {-2: 600, -1: None, 0: 1}.get(options.timeout, options.timeout)
    await engine.set_agent_timeout(options.guest, seconds)


Pairs = list[tuple[str, object]]


async def _users(engine: Engine, guest: str) -> Pairs:
    users = await engine.guest_users(guest)
    return [("user.count", len(users)), *((f"user.{index}.name", user.name) for index, user in enumerate(users))]


async def _os(engine: Engine, guest: str) -> Pairs:
    system = await engine.guest_os(guest)
    facts = [(f"os.{name.replace('_', '-')}", getattr(system, name)) for name in system.__struct_fields__]
    return [(name, value) for name, value in facts if value]


async def _zone(engine: Engine, guest: str) -> Pairs:
    zone = await engine.guest_zone(guest)
    return [("timezone.name", zone.name), ("timezone.offset", zone.offset)]


async def _name(engine: Engine, guest: str) -> Pairs:
    return [("hostname", await engine.guest_hostname(guest))]


async def _filesystems(engine: Engine, guest: str) -> Pairs:
    found = await engine.guest_filesystems(guest)
    pairs: Pairs = [("fs.count", len(found))]
    for index, one in enumerate(found):
        facts = {"mountpoint": one.mountpoint, "name": one.name, "fstype": one.type, "total-bytes": one.total,
                 "used-bytes": one.used, "disk.count": len(one.disks)}  # fmt: skip
        pairs += [(f"fs.{index}.{name}", value) for name, value in facts.items() if value is not None]
        pairs += [(f"fs.{index}.disk.{number}.alias", disk) for number, disk in enumerate(one.disks)]
    return pairs


async def _interfaces(engine: Engine, guest: str) -> Pairs:
    found = await engine.guest_addresses(guest, "agent")
    pairs: Pairs = [("if.count", len(found))]
    for index, nic in enumerate(found):
        pairs += [(f"if.{index}.name", nic.name), (f"if.{index}.hwaddr", nic.mac or ""),
                  (f"if.{index}.addr.count", len(nic.addresses))]  # fmt: skip
        for number, one in enumerate(nic.addresses):
            facts = {"type": one.family, "addr": one.address, "prefix": one.prefix}
            pairs += [(f"if.{index}.addr.{number}.{name}", value) for name, value in facts.items()]
    return pairs


async def _disks(engine: Engine, guest: str) -> Pairs:
    found = await engine.guest_disks(guest)
    pairs: Pairs = [("disk.count", len(found))]
    for index, one in enumerate(found):
        facts = {"name": one.name, "partition": "yes" if one.partition else "no", "alias": one.target,
                 "guest_alias": one.alias, "dependency.count": len(one.dependencies) or None}  # fmt: skip
        pairs += [(f"disk.{index}.{name}", value) for name, value in facts.items() if value is not None]
        pairs += [(f"disk.{index}.dependency.{number}.name", name) for number, name in enumerate(one.dependencies)]
    return pairs


INFO: Mapping[str, Callable[[Engine, str], Awaitable[Pairs]]] = {
    "user": _users, "os": _os, "timezone": _zone, "hostname": _name, "filesystem": _filesystems, "disk": _disks,
    "interface": _interfaces,
}  # fmt: skip
"""What `guestinfo` asks the agent, by the option that asks for it alone."""


async def _guestinfo(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    """All that the agent tells, without what it does not know; or what is asked for."""
    asked = [name for name in INFO if getattr(options, name)]
    pairs: Pairs = []
    for name in asked or INFO:
        try:
            pairs += await INFO[name](engine, options.guest)
        except Unsupported:
            if asked:
                raise
    out.value(dict(pairs))
    for name, value in pairs:
        out.line(f"{name.ljust(20)}: {value}")


MOUNTS = arg("--mountpoint", action="append", help="one of them; may be said several times")
COMMANDS = (
    Command("dump", "write a guest's memory to a file", (
        GUEST, arg("file", complete="file", type=absolute), flag("--memory-only", help="as a core that debuggers read"),
        arg("--format", choices=list(FORMATS), default="elf"), flag("--live", help="while it runs"),
        flag("--crash", help="end it after"), flag("--reset", help="reset it after"),
        flag("--bypass-cache", help="past the host's cache"),
        flag("--verbose", help="with a bar, as always at a terminal")), _dump),
    Command("domcontrol", "show the state of the way to a guest's hypervisor", (GUEST,), _domcontrol),
    Command("domblkerror", "show disks that an error stopped", (GUEST,), _domblkerror),
    Command("domlabels", "show what confines a guest", (GUEST,), _dominfo_labels),
    Command("domhostname", "print the guest's own name", (
        GUEST, arg("--source", choices=["agent", "lease"], default="agent", help="who is asked")), _domhostname),
    Command("domtime", "show or set the guest's clock", (
        GUEST, flag("--now", help="to the time here"), flag("--pretty"), flag("--sync", help="from its hardware clock"),
        arg("--time", type=int, help="Unix time")), _domtime),
    Command("domfsinfo", "show mounted file systems", (GUEST,), _domfsinfo),
    Command("domfsfreeze", "freeze file systems", (GUEST, MOUNTS), _domfsfreeze),
    Command("domfsthaw", "thaw file systems", (GUEST, MOUNTS), _domfsthaw),
    Command("domfstrim", "discard unused blocks", (GUEST, arg("--minimum", type=size("b"), default=0)), _domfstrim),
    Command("guestvcpus", "show or switch vCPUs in the guest's system", (
        GUEST, arg("cpulist", nargs="?", type=numbers), flag("--enable"), flag("--disable")), _guestvcpus),
    Command("set-user-password", "set a user's password in the guest", (
        GUEST, arg("user"), arg("password", nargs="?", help="asked for without it"), flag("--encrypted")), _password),
    Command("get-user-sshkeys", "list the SSH keys that may log in as a user of the guest", (GUEST, arg("user")), _keys),
    Command("set-user-sshkeys", "add, replace or remove those keys", (
        GUEST, arg("user"), arg("--file", complete="file", help="the keys, one a line"),
        flag("--reset", help="instead of all there are"),
        flag("--remove", help="remove those in the file")), _set_keys),
    Command("guest-agent-timeout", "set how long a guest's agent has for an answer", (
        GUEST, arg("--timeout", type=int, default=-1, help="seconds; -1: what is usual, -2: as long as can be")), _timeout),
    Command("guestinfo", "show what the guest's agent tells", (GUEST, *(flag(f"--{name}") for name in INFO)), _guestinfo),
)  # fmt: skip
