"""What org.libvirt has and the engine cannot serve yet, by what is lacking. A row goes when the engine can do it."""

from __future__ import annotations

from collections.abc import Mapping

MISSING: Mapping[str, str] = {
    "interfaces of the host": (
        "Connect.InterfaceChangeBegin Connect.InterfaceChangeCommit Connect.InterfaceChangeRollback"
        " Connect.InterfaceDefineXML Connect.InterfaceLookupByMAC Connect.InterfaceLookupByName Connect.ListInterfaces"
        " Interface.*"
    ),
    "devices of the host": (
        "Connect.ListNodeDevices Connect.NodeDeviceCreateXML Connect.NodeDeviceLookupByName"
        " Connect.NodeDeviceLookupSCSIHostByWWN NodeDevice.*"
    ),
    "migration": (
        "Domain.MigrateGetCompressionCache Domain.MigrateGetMaxSpeed Domain.MigrateSetCompressionCache"
        " Domain.MigrateSetMaxDowntime Domain.MigrateSetMaxSpeed Domain.MigrateStartPostCopy Domain.MigrateToURI3"
    ),
    "signals to processes of the guest, which are for containers": "Domain.SendProcessSignal",
}
"""`Kind.*`: all methods and properties of that interface."""


def lacking(interface: str, member: str) -> str | None:
    """What the engine lacks for a member, None if nothing."""
    kind = interface.removeprefix("org.libvirt.")
    return _BY_NAME.get(f"{kind}.{member}") or _BY_NAME.get(f"{kind}.*")


_BY_NAME = {name: reason for reason, names in MISSING.items() for name in names.split()}
