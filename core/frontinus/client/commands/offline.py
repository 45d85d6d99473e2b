"""Commands without a daemon: the pure translation, and the shell's completion."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from frontinus.client.commands.base import Command, Output, arg, flag, read

FILES = arg("files", nargs="+", complete="file")
REPLIES = arg("--capabilities", complete="file", help="a recorded QMP probe; default: this host's emulator")
HOST = arg("--host", complete="file", help="a JSON file that stands in for this host")


def _argv(options: argparse.Namespace) -> int:
    from frontinus.client.offline import argv_lines
    from frontinus.domain.hostfile import load_host
    from frontinus.qemu.caps.replies import load_replies

    for line in argv_lines(options.files, load_replies(options.capabilities), load_host(options.host)):
        sys.stdout.write(line + "\n")
    return 0


def _xml(options: argparse.Namespace) -> int:
    for line in XML[options.kind](options):
        sys.stdout.write(line + "\n")
    return 0


def _domain_xml(options: argparse.Namespace) -> Iterable[str]:
    from frontinus.client.offline import xml_lines
    from frontinus.domain.hostfile import load_host
    from frontinus.qemu.caps.replies import load_replies

    return xml_lines(options.files, load_replies(options.capabilities), load_host(options.host), options.view)


def _document_xml(options: argparse.Namespace) -> Iterable[str]:
    from frontinus.client.offline import document_lines

    return document_lines(options.kind, options.files, options.domain, options.time)


def _network_xml(options: argparse.Namespace) -> Iterable[str]:
    from frontinus.client.offline_networks import network_lines
    from frontinus.domain.hostfile import load_host

    return network_lines(options.files, load_host(options.host), options.view)


def _port_xml(options: argparse.Namespace) -> Iterable[str]:
    from frontinus.client.offline_networks import port_lines

    return port_lines(options.files)


def _filter_xml(options: argparse.Namespace) -> Iterable[str]:
    from frontinus.client.offline_filters import filter_lines

    return filter_lines(options.files)


def _binding_xml(options: argparse.Namespace) -> Iterable[str]:
    from frontinus.client.offline_filters import binding_lines

    return binding_lines(options.files)


def _storage_xml(options: argparse.Namespace) -> Iterable[str]:
    from frontinus.client.offline_storage import storage_lines

    return storage_lines(options.kind, options.files, options.pool)


XML: Mapping[str, Callable[[argparse.Namespace], Iterable[str]]] = {
    "domain": _domain_xml, "network": _network_xml, "networkport": _port_xml, "nwfilter": _filter_xml,
    "nwfilterbinding": _binding_xml, "snapshot": _document_xml,
    "checkpoint": _document_xml, "backup": _document_xml, "pool": _storage_xml, "volume": _storage_xml, "secret": _storage_xml,
}  # fmt: skip
"""What `frontinus xml KIND` prints."""


def _dnsmasq(options: argparse.Namespace) -> int:
    from frontinus.client.offline_networks import dnsmasq_lines
    from frontinus.domain.hostfile import load_host

    for line in dnsmasq_lines(options.files, load_host(options.host)):
        sys.stdout.write(line + "\n")
    return 0


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def _firewall(options: argparse.Namespace) -> int:
    from frontinus.client.offline_filters import is_of_filters, ruleset_line
    from frontinus.client.offline_networks import firewall_lines
    from frontinus.domain.hostfile import load_host

    for name in options.files:
        if is_of_filters(Path(name).read_bytes() if Path(name).is_file() else b""):
            sys.stdout.write(ruleset_line(name, options.files, options.parameter) + "\n")
        else:
            sys.stdout.writelines(f"{line}\n" for line in firewall_lines([name], load_host(options.host)))
    return 0


def _abi_check(options: argparse.Namespace) -> int:
    from frontinus.api.errors import FrontinusError
    from frontinus.client.offline import abi_differences
    from frontinus.domain.hostfile import load_host
    from frontinus.qemu.caps.replies import load_replies

    try:
        found = abi_differences(
            read(options.old), read(options.new), load_replies(options.capabilities), load_host(options.host)
        )
    except FrontinusError as error:
        sys.stderr.write(f"frontinus: {error.message}\n")
        return 2
    output = Output(json=options.json)
    output.value([{"element": difference.element, "text": difference.text} for difference in found])
    for difference in found:
        output.line(difference.text)
    return 1 if found else 0


def _completion(options: argparse.Namespace) -> int:
    from frontinus.client.completion import script

    sys.stdout.write(script(options.shell))
    return 0


def _install(options: argparse.Namespace) -> int:
    from frontinus.client.install import Place, install

    place = Place(options.root, options.programs or Path(sys.executable).parent, options.group)
    return install(place, dry_run=options.dry_run, yes=options.yes)


COMMANDS = (
    Command("argv", "print the command lines of domain XML files, one JSON line a file", (REPLIES, HOST, FILES), offline=_argv),
    Command("xml", "print canonical XML, one JSON line a file", (
        arg("kind", choices=list(XML)), arg("--view", choices=["inactive", "active"], default="inactive"), REPLIES, HOST,
        arg("--pool", complete="file", help="volumes as they would be of this pool"),
        arg("--domain", complete="file", help="a snapshot, checkpoint or backup as it would be of this guest"),
        arg("--time", type=int, help="and made at this time, in seconds of the epoch"), FILES), offline=_xml),
    Command("dnsmasq", "print the dnsmasq configuration of network XML files, one JSON line a file", (HOST, FILES),
            offline=_dnsmasq),
    Command("firewall", "print the nftables rules of network or nwfilter XML files, one JSON line a file", (
        HOST, arg("--parameter", action="append", default=[], type=_assignment, metavar="NAME=VALUE",
                  help="a value of a filter's variable, such as IP=192.0.2.1"), FILES), offline=_firewall),
    Command("abi-check", "tell where two definitions give the guest different hardware", (
        REPLIES, HOST, arg("old", complete="file", help="a domain XML file, - for standard input"),
        arg("new", complete="file", help="another")), offline=_abi_check),
    Command("completion", "print a completion script for a shell", (arg("shell", choices=["bash", "zsh"]),),
            offline=_completion),
    Command("install-service", "install the files for systemd, the system bus, polkit, man and bash; asks before it writes", (
        flag("--dry-run", help="print them instead"), flag("--yes", help="do not ask"),
        arg("--root", type=Path, default=Path("/"), complete="file", help="stage them under this folder"),
        arg("--programs", type=Path, complete="file", help="where frontinusd is; default: beside this program"),
        arg("--group", default="frontinus", help="whose members manage")), offline=_install),
)  # fmt: skip
