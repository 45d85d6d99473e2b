"""Pools of type scsi: the LUNs of a SCSI host adapter, or of a virtual port of a Fibre Channel one (NPIV)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from frontinus.api.errors import StorageFailed
from frontinus.storage.pool import Adapter, Pool, PoolTarget
from frontinus.storage.pools.base import Listing
from frontinus.storage.pools.scsihosts import BY_PATH, SCSI_HOSTS, ScsiLuns
from frontinus.storage.steps import Names, Read, Script, Write, ask

FC_HOSTS = "/sys/class/fc_host"
WWN = re.compile(r"[0-9a-fA-F]{16}")


class Scsi(ScsiLuns):
    name = "scsi"
    needs = ("adapter", "path")

    def complete(self, pool: Pool) -> None:
        super().complete(pool)
        pool.target = pool.target or PoolTarget()
        pool.target.path = pool.target.path or BY_PATH

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        adapter = pool.origin.adapter
        if adapter is None:
            return
        if adapter.type == "fc_host":
            for what, wwn in (("wwnn", adapter.wwnn), ("wwpn", adapter.wwpn)):
                if wwn is None or not WWN.fullmatch(wwn):
                    yield f"<adapter>: '{what}' must be 16 hexadecimal digits"
        elif bool(adapter.name) == (adapter.parent_address is not None):
            yield "<adapter>: either 'name' or <parentaddr> is needed"
        elif adapter.parent_address is not None and adapter.parent_address.address is None:
            yield "<parentaddr>: <address> is missing"
        elif adapter.name and host_number(adapter.name) is None:
            yield f"<adapter>: '{adapter.name}' is no name of a SCSI host"

    def start(self, pool: Pool) -> Script[None]:
        """Make the virtual port, if it is one and not there."""
        adapter = _adapter(pool)
        if adapter.type == "fc_host" and (yield from self._port(adapter)) is None:
            parent = yield from self._parent(pool, adapter)
            yield Write(f"{FC_HOSTS}/{parent}/vport_create", f"{adapter.wwpn}:{adapter.wwnn}")

    def stop(self, pool: Pool) -> Script[None]:
        """Take a managed virtual port away again."""
        adapter = _adapter(pool)
        if adapter.type == "fc_host" and adapter.managed and (yield from self._port(adapter)) is not None:
            parent = yield from self._parent(pool, adapter)
            yield Write(f"{FC_HOSTS}/{parent}/vport_delete", f"{adapter.wwpn}:{adapter.wwnn}")

    def is_active(self, pool: Pool) -> Script[bool]:
        return (yield from self._host(pool)) is not None

    def refresh(self, pool: Pool) -> Script[Listing]:
        host = yield from self._host(pool)
        if host is None:
            raise StorageFailed(f"pool '{pool.name}': its adapter is not on this host", path=SCSI_HOSTS)
        return (yield from self.luns(pool, host))

    def _host(self, pool: Pool) -> Script[int | None]:
        adapter = _adapter(pool)
        if adapter.type == "fc_host":
            return host_number((yield from self._port(adapter)) or "")
        hosts: list[str] = yield Names(SCSI_HOSTS)
        if adapter.name is not None:
            number = host_number(adapter.name)
            return number if f"host{number}" in hosts else None
        return (yield from self._by_address(adapter, hosts))

    def _by_address(self, adapter: Adapter, hosts: list[str]) -> Script[int | None]:
        """The host on a PCI function with the unique id: sysfs has the function in the path that a host's link leads to."""
        parent = adapter.parent_address
        assert parent is not None and parent.address is not None
        at = parent.address
        functions: list[str] = yield Names(
            f"/sys/bus/pci/devices/{at.domain:04x}:{at.bus:02x}:{at.slot:02x}.{at.function:x}"
        )
        ports = [name for name in functions if re.fullmatch(r"host\d+|ata\d+", name)]
        below: set[str] = set(ports)
        for port in ports:
            below |= set((yield from ask(Names(
                f"/sys/bus/pci/devices/{at.domain:04x}:{at.bus:02x}:{at.slot:02x}.{at.function:x}/{port}"))))  # fmt: skip
        for host in (name for name in hosts if name in below):
            unique: bytes = yield Read(f"{SCSI_HOSTS}/{host}/unique_id")
            if parent.unique_id is None or unique.strip() == str(parent.unique_id).encode():
                return host_number(host)
        return None

    def _port(self, adapter: Adapter) -> Script[str | None]:
        """The host of a virtual port, by its world wide names."""
        hosts: list[str] = yield Names(FC_HOSTS)
        for host in hosts:
            names = []
            for file in ("node_name", "port_name"):
                text: bytes = yield Read(f"{FC_HOSTS}/{host}/{file}")
                names.append(text.decode(errors="replace").strip().removeprefix("0x").lower())
            if names == [(adapter.wwnn or "").lower(), (adapter.wwpn or "").lower()]:
                return host
        return None

    def _parent(self, pool: Pool, adapter: Adapter) -> Script[str]:
        """The Fibre Channel host that carries the port: the named one, the one of given names, or one with room."""
        hosts: list[str] = yield Names(FC_HOSTS)
        named = adapter.parent.removeprefix("scsi_") if adapter.parent else None
        wanted = {
            "node_name": adapter.parent_wwnn,
            "port_name": adapter.parent_wwpn,
            "fabric_name": adapter.parent_fabric_wwn,
        }
        for host in hosts:
            if named is not None and host != named:
                continue
            if (yield from self._carries(host, wanted)):
                return host
        raise StorageFailed(f"pool '{pool.name}': no Fibre Channel host can carry its port", path=FC_HOSTS)

    def _carries(self, host: str, wanted: dict[str, str | None]) -> Script[bool]:
        for file, wwn in wanted.items():
            if wwn is not None:
                text: bytes = yield Read(f"{FC_HOSTS}/{host}/{file}")
                if text.decode(errors="replace").strip().removeprefix("0x").lower() != wwn.lower():
                    return False
        most: bytes = yield Read(f"{FC_HOSTS}/{host}/max_npiv_vports")
        used: bytes = yield Read(f"{FC_HOSTS}/{host}/npiv_vports_inuse")
        return most.strip().isdigit() and int(used.strip() or 0) < int(most)


def _adapter(pool: Pool) -> Adapter:
    adapter = pool.origin.adapter
    assert adapter is not None
    return adapter


def host_number(name: str) -> int | None:
    """The number in host3 or scsi_host3."""
    match = re.fullmatch(r"(?:scsi_)?host(\d{1,6})", name)
    return int(match[1]) if match else None
