"""Interfaces of guests on the host: taps, which live as long as somebody holds their descriptors, and macvtap links.

Sources: linux/if_tun.h, Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Tap
from frontinus.linux.failing import failing
from frontinus.linux.network import floors
from frontinus.linux.network.filters import BridgeFilters
from frontinus.linux.network.links import Links
from frontinus.linux.setup import Maker, Setup, Undo, text

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x4000, 0x0100
SIOCGIFMTU = 0x8921
NAMES = "vnet%d"
LONGEST = 15
"""Bytes of a link's name."""
SCRIPT_SECONDS = 60.0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}

_IFREQ_FLAGS = struct.Struct("=16sH22x")
_IFREQ_NUMBER = struct.Struct("=16si20x")
_IFREQ_POINTER = struct.Struct("=16sQ16x")
SIOCETHTOOL, ETHTOOL_GCOALESCE, ETHTOOL_SCOALESCE = 0x8946, 0xE, 0xF
COALESCE_FIELDS, FRAMES = 22, 2
"""Of struct ethtool_coalesce (linux/ethtool.h) behind the command, and the place of rx_max_coalesced_frames."""
_COALESCE = struct.Struct(f"={1 + COALESCE_FIELDS}I")


class Taps(Maker[Tap]):
    """Makes taps and macvtap links, and connects them. A tap needs no undoing: it goes with its last holder."""

    kinds = ("link", "script", "filter", floors.KIND)

    def __init__(self, filters: BridgeFilters | None = None) -> None:
        """`filters`: without it, NICs that have a filter are refused."""
        self._links = Links()
        self._filters = filters
        self._reserved: set[str] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        self._links.close()

    def intend(self, resource: Tap, setup: Setup) -> list[Undo]:
        if len(os.fsencode(resource.name)) > LONGEST:
            raise HostFailed(f"'{resource.name}' is too long for the name of a link", what=resource.name)
        if resource.network is not None and resource.bridge is None:
            raise HostFailed(f"network '{resource.network}' is not active: it has no bridge", what=resource.network)
        filtered = [self._intend_filter(resource)] if resource.filter is not None else []
        records: list[Undo] = []
        if resource.lower is not None:
            records.append({"kind": "link", "name": self._reserve(resource), "alias": resource.alias})
        elif resource.down_script is not None:
            records.append(
                {"kind": "script", "path": resource.down_script, "name": resource.name, "alias": resource.alias}
            )
        return records + filtered + floors.intend(resource)

    def _intend_filter(self, resource: Tap) -> Undo:
        """The rules go after the tap. Where its name is known only then, a restart finds them by looking."""
        if resource.lower is not None:
            raise HostFailed(
                f"a filter needs a bridge: there is none between a guest and {resource.lower}", what="filter"
            )
        if resource.filtered is None or self._filters is None:
            raise HostFailed("this engine can put no filter in force", what="filter")
        name = "" if "%" in resource.name else resource.name
        return {"kind": "filter", "name": name, "alias": resource.alias, "holder": os.urandom(8).hex()}

    def make(self, resource: Tap, records: list[Undo], setup: Setup) -> None:
        if resource.lower is not None:
            name, opened = self._make_macvtap(resource, text(records[0], "name"))
        else:
            name, opened = self._make_tap(resource)
        try:
            if self._filters is not None and resource.filtered is not None:
                _named(records, "filter", name)
                holder = next(text(record, "holder") for record in records if record["kind"] == "filter")
                self._filters.put_now(name, resource.filtered, holder)
            if resource.managed and resource.lower is None:
                self._connect(resource, name)
            floors.make(resource)
            for _ in resource.vhost_fds:
                opened.append(_open(resource.vhost_device))
        except BaseException:
            _close(opened)
            for record in records:
                if record["kind"] != "script":
                    self.undo(record)
            raise
        _named(records, "link", name)
        _named(records, "script", name)
        setup.fds.update(zip((*resource.fds, *resource.vhost_fds), opened, strict=True))
        if resource.alias:
            setup.names[resource.alias] = name

    def promised(self, resource: Tap) -> list[Undo]:
        """The undo records of what a tap's bridge promises it."""
        return floors.intend(resource)

    def adjust(self, resource: Tap) -> None:
        """Have a tap that is on its bridge as it is to be there. Raises HostFailed."""
        with failing("change the tap", resource.name):
            self._links.isolate(socket.if_nametoindex(resource.name), on=resource.isolated)
            if resource.coalesce is not None:
                coalesce(resource.name, resource.coalesce)
        floors.make(resource)

    def undo(self, record: Mapping[str, object]) -> None:
        if record["kind"] == floors.KIND:
            floors.undo(record)
            return
        name = text(record, "name")
        if record["kind"] == "script":
            if name:
                _run(text(record, "path"), name)
            return
        if record["kind"] == "filter":
            if self._filters is not None:
                self._filters.drop_now(name, str(record.get("holder", "")))
            return
        with self._lock:
            self._reserved.discard(name)
        with failing("remove the link", name):
            if self._links.kind(name) == "macvtap":
                self._links.remove(name)

    def _make_tap(self, resource: Tap) -> tuple[str, list[int]]:
        """Open every queue of a new tap, or of the user's own; returns its name."""
        name = resource.name or NAMES
        if not resource.managed:
            kind = None if "%" in name else self._links.kind(name)
            if kind is None:
                raise HostFailed(f"there is no tap '{resource.name}' on this host", what=name)
            if kind == "macvtap":
                return name, _open_macvtap(name, resource)
        opened: list[int] = []
        flags = _flags(resource)
        try:
            for _ in resource.fds:
                opened.append(_open(resource.tap_device))
                name = _attach(opened[-1], name, flags)
        except BaseException:
            _close(opened)
            raise
        return name, opened

    def _connect(self, resource: Tap, name: str) -> None:
        """Give a tap its address, put it on its bridge and switch it on."""
        with failing("connect the tap", name):
            index = socket.if_nametoindex(name)
            master, mtu = self._bridge(resource.bridge) if resource.bridge is not None else (None, None)
            self._links.set_up(index, mac=host_mac(resource.mac), mtu=resource.mtu or mtu, master=master)
            if resource.isolated and master is not None:
                self._links.isolate(index)
            if resource.coalesce is not None:
                coalesce(name, resource.coalesce)
            for address in resource.addresses:
                self._links.add_address(index, *address)
            for route in resource.routes:
                self._links.add_route(index, *route)
        if resource.script is not None:
            _run(resource.script, name)

    def _bridge(self, name: str) -> tuple[int, int | None]:
        """Index of a bridge, and the MTU that its ports get."""
        if self._links.kind(name) != "bridge":
            raise HostFailed(f"there is no bridge '{name}' on this host", what=name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
            answer = fcntl.ioctl(any_socket, SIOCGIFMTU, _IFREQ_NUMBER.pack(name.encode(), 0))
        return socket.if_nametoindex(name), _IFREQ_NUMBER.unpack(answer)[1]

    def _reserve(self, resource: Tap) -> str:
        """A free name for a macvtap link, chosen before it is made: a crash leaves none that nobody knows."""
        with self._lock:
            candidates: Iterator[str] = (f"macvtap{number}" for number in itertools.count())
            if resource.name and "%" not in resource.name:
                candidates = iter((resource.name,))
            for name in candidates:
                if name not in self._reserved and self._links.kind(name) is None:
                    self._reserved.add(name)
                    return name
        raise HostFailed(f"there is a link '{resource.name}' on this host already", what=resource.name)

    def _make_macvtap(self, resource: Tap, name: str) -> tuple[str, list[int]]:
        assert resource.lower is not None
        try:
            with failing("make", f"the link {name} over {resource.lower}"):
                lower = socket.if_nametoindex(resource.lower)
                self._links.add_macvtap(name, lower, resource.mode or "vepa", _bytes(resource.mac))
            try:
                with failing("switch on", name):
                    self._links.set_up(socket.if_nametoindex(name), mtu=resource.mtu)
                    if resource.coalesce is not None:
                        coalesce(name, resource.coalesce)
                return name, _open_macvtap(name, resource)
            except BaseException:
                self._links.remove(name)
                raise
        except BaseException:
            with self._lock:
                self._reserved.discard(name)
            raise


def coalesce(name: str, frames: int) -> None:
    """Let a link gather received frames before it tells of them. Raises OSError where its kind cannot."""
    settings = ctypes.create_string_buffer(_COALESCE.size)
    request = _IFREQ_POINTER.pack(name.encode(), ctypes.addressof(settings))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        settings.raw = _COALESCE.pack(ETHTOOL_GCOALESCE, *bytes(COALESCE_FIELDS))
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)
        values = list(_COALESCE.unpack(settings.raw))
        values[0], values[FRAMES] = ETHTOOL_SCOALESCE, frames
        settings.raw = _COALESCE.pack(*values)
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def host_mac(guest: str) -> bytes:
    """The address of the host's end: the guest's, its first byte so high that a bridge never takes it for its own."""
    mac = _bytes(guest)
    return bytes((0xFA if mac[0] == 0xFE else 0xFE, *mac[1:]))


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _flags(resource: Tap) -> int:
    header = IFF_VNET_HDR if resource.vnet_hdr else 0
    return IFF_TAP | IFF_NO_PI | header | (IFF_MULTI_QUEUE if len(resource.fds) > 1 else 0)


def _open(device: str) -> int:
    with failing("open", device):
        return os.open(device, os.O_RDWR | os.O_CLOEXEC)


def _attach(fd: int, name: str, flags: int) -> str:
    """Make or join the tap of a name, where %d stands for the next free number; returns the name."""
    with failing("make the tap", name):
        answer = fcntl.ioctl(fd, TUNSETIFF, _IFREQ_FLAGS.pack(name.encode(), flags))
    made: bytes = _IFREQ_FLAGS.unpack(answer)[0]
    return made.rstrip(b"\0").decode()


def _open_macvtap(name: str, resource: Tap) -> list[int]:
    """The queues of a macvtap link: its character device, opened once for each."""
    opened: list[int] = []
    try:
        with failing("find the device of", name):
            device = f"/dev/tap{socket.if_nametoindex(name)}"
        for _ in resource.fds:
            opened.append(_open(device))
            _attach(opened[-1], name, _flags(resource))
    except BaseException:
        _close(opened)
        raise
    return opened


def _named(records: list[Undo], kind: str, name: str) -> None:
    """A record gets the name that is known now."""
    for record in records:
        if record["kind"] == kind:
            record["name"] = name


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _run(script: str, name: str) -> None:
    """Run a user's script with the name of the interface."""
    if not Path(script).is_absolute():
        raise HostFailed(f"the script '{script}' is no absolute path", what=script)
    with failing("run", script):
        try:
            done = subprocess.run([script, name], stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT,
                                  timeout=SCRIPT_SECONDS, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise HostFailed(f"{script} {name} did not end within {SCRIPT_SECONDS:g} s", what=script) from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-500:]
        raise HostFailed(f"{script} {name} failed with status {done.returncode}: {words}", what=script)
