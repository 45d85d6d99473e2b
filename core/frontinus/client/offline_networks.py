"""`frontinus xml network`, `dnsmasq` and `firewall`: what a network's definition leads to, without a daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from frontinus.client.offline import line
from frontinus.domain.host import HostFacts
from frontinus.network.definition import complete, format_network, format_port, parse_network, parse_port
from frontinus.network.dnsmasq import dnsmasq_files
from frontinus.network.firewall import firewall
from frontinus.network.model import Network


def network_lines(files: Iterable[str], host: HostFacts, view: str) -> Iterable[str]:
    """One line a file: {"file", "xml"} or {"file", "error"}."""
    return _lines(files, host, lambda network: {"xml": format_network(network, active=view == "active")})


def port_lines(files: Iterable[str]) -> Iterable[str]:
    """The same of network ports."""
    return (line(name, lambda text: {"xml": format_port(parse_port(text))}) for name in files)


def dnsmasq_lines(files: Iterable[str], host: HostFacts) -> Iterable[str]:
    """One line a file: {"file", "dnsmasq", "hosts", "names"}: the configuration, and the files that it names."""

    def planned(network: Network) -> dict[str, object]:
        made = dnsmasq_files(network, network.bridge or "virbr0", f"{host.paths.state}/dnsmasq")
        return {"dnsmasq": made.config, "hosts": made.hosts, "names": made.names}

    return _lines(files, host, planned)


def firewall_lines(files: Iterable[str], host: HostFacts) -> Iterable[str]:
    """One line a file: {"file", "firewall"}: commands of libnftables-json(5), as `nft -j -f` takes them."""
    return _lines(files, host, lambda n: {"firewall": firewall([(n, n.bridge or "virbr0")], host.paths)})


def _lines(files: Iterable[str], host: HostFacts, answer: Callable[[Network], dict[str, object]]) -> Iterable[str]:
    return (line(name, lambda text: answer(complete(parse_network(text), host))) for name in files)
