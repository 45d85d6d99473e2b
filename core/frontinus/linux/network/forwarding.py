"""Whether this host passes packets on: switched on while a network needs it, and off again if it was off before."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.linux.failing import failing
from frontinus.linux.network.iproute import iproute

SWITCHES: Mapping[str, str] = {"ipv4": "ipv4/ip_forward", "ipv6": "ipv6/conf/all/forwarding"}
"""By family: a change of one changes all devices of the host (Documentation/networking/ip-sysctl)."""
SYSCTL = Path("/proc/sys/net")
ADVERTISED = 9


class Forwarding:
    """The switches of both families, and who needs them.

    `folder` is lost at boot, as the switches are. FAMILY/NETWORK there says that a network needs a family, and FAMILY.before
    that it was us who switched it on; it names the devices that forwarded by themselves. Both are written before the switch
    changes and removed after it: whenever the engine dies, the next one knows.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def need(self, network: str, families: Collection[str]) -> None:
        """From now on a network, by its name in files, needs these families and no others.

        Raises HostFailed where the host would lose its own IPv6 routes by that: a router takes no advertisements.
        """
        for family in families:
            switch = SYSCTL / SWITCHES[family]
            with failing("switch on", str(switch)):
                off = switch.read_text().strip() == "0"
                if off:
                    _refuse_loss(family)
                    _write(self._before(family), "\n".join(_forwarding(family)))
                (self._folder / family).mkdir(parents=True, exist_ok=True)
                (self._folder / family / network).touch()
                if off:
                    switch.write_text("1")
        for family in SWITCHES.keys() - set(families):
            self._release(network, family)

    def release(self, network: str) -> None:
        """A network is no more."""
        for family in SWITCHES:
            self._release(network, family)

    def keep(self, networks: Collection[str]) -> None:
        """After a restart: these are all the networks that there are."""
        for family in SWITCHES:
            for name in ["", *self._users(family)]:
                if name not in networks:
                    self._release(name, family)

    def _release(self, network: str, family: str) -> None:
        switch, before = SYSCTL / SWITCHES[family], self._before(family)
        with failing("switch off", str(switch)):
            if network:
                (self._folder / family / network).unlink(missing_ok=True)
            if self._users(family) or not before.exists():
                return
            switch.write_text("0")
            for device in before.read_text().splitlines():
                own = SYSCTL / family / "conf" / device / "forwarding"
                if own.exists():  # else the device is gone
                    own.write_text("1")
            before.unlink()

    def _users(self, family: str) -> list[str]:
        folder = self._folder / family
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    def _before(self, family: str) -> Path:
        return self._folder / f"{family}.before"


def _forwarding(family: str) -> list[str]:
    """Devices that forward, though the host as a whole does not; "default" are those that are made later."""
    switches = (SYSCTL / family / "conf").glob("*/forwarding")
    return [path.parent.name for path in switches if path.parent.name != "all" and path.read_text().strip() == "1"]


def _refuse_loss(family: str) -> None:
    if family == "ipv6" and (device := _advertised()):
        raise HostFailed(f"{device} has IPv6 routes by router advertisement, which the host would lose as a router:"
                         f" set net.ipv6.conf.{device}.accept_ra=2 first", what=device)  # fmt: skip


def _advertised() -> str | None:
    """A device that has routes by router advertisement, and would not take them any more if the host forwarded."""
    with iproute("read", "the host's routes") as ip:
        found = {r.get_attr("RTA_OIF") for r in ip.get_routes(family=socket.AF_INET6) if r["proto"] == ADVERTISED}
    names = (name for index, name in socket.if_nameindex() if index in found)
    return next((n for n in names if (SYSCTL / f"ipv6/conf/{n}/accept_ra").read_text().strip() != "2"), None)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)
