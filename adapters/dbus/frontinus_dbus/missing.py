"""What org.libvirt has and the engine cannot serve yet, by what is lacking. A row goes when the engine can do it."""

from __future__ import annotations

from collections.abc import Mapping

MISSING: Mapping[str, str] = {
    "CPU baselines and comparison": "Connect.BaselineCPU Connect.CompareCPU",
    "files from the caller at start": "Connect.DomainCreateXMLWithFiles Domain.CreateWithFiles",
    "changing a saved state's definition": "Connect.DomainSaveImageDefineXML",
    "storage": (
        "Connect.FindStoragePoolSources Connect.ListStoragePools Connect.StoragePoolCreateXML"
        " Connect.StoragePoolDefineXML Connect.StoragePoolLookupByName Connect.StoragePoolLookupByUUID"
        " Connect.StorageVolLookupByKey Connect.StorageVolLookupByPath StoragePool.* StorageVol.*"
    ),
    "networks": (
        "Connect.ListNetworks Connect.NetworkCreateXML Connect.NetworkDefineXML Connect.NetworkLookupByName"
        " Connect.NetworkLookupByUUID Network.*"
    ),
    "packet filters": (
        "Connect.ListNWFilters Connect.NWFilterDefineXML Connect.NWFilterLookupByName Connect.NWFilterLookupByUUID NWFilter.*"
    ),
    "interfaces of the host": (
        "Connect.InterfaceChangeBegin Connect.InterfaceChangeCommit Connect.InterfaceChangeRollback"
        " Connect.InterfaceDefineXML Connect.InterfaceLookupByMAC Connect.InterfaceLookupByName Connect.ListInterfaces"
        " Interface.*"
    ),
    "devices of the host": (
        "Connect.ListNodeDevices Connect.NodeDeviceCreateXML Connect.NodeDeviceLookupByName"
        " Connect.NodeDeviceLookupSCSIHostByWWN NodeDevice.*"
    ),
    "secrets": (
        "Connect.ListSecrets Connect.SecretDefineXML Connect.SecretLookupByUUID Connect.SecretLookupByUsage Secret.*"
    ),
    "figures and settings of the host": (
        "Connect.GetSysinfo Connect.NodeGetCPUMap Connect.NodeGetCPUStats Connect.NodeGetMemoryParameters"
        " Connect.NodeGetSecurityModel Connect.NodeSetMemoryParameters"
    ),
    "snapshots": (
        "Domain.ListDomainSnapshots Domain.SnapshotCurrent Domain.SnapshotCreateXML Domain.SnapshotLookupByName DomainSnapshot.*"
    ),
    "work on images": (
        "Domain.BlockCommit Domain.BlockCopy Domain.BlockJobAbort Domain.BlockPull Domain.BlockRebase"
        " Domain.BlockJobSetSpeed Domain.GetBlockJobInfo Domain.BlockPeek Domain.GetDiskErrors Domain.SetBlockThreshold"
    ),
    "migration": (
        "Domain.MigrateGetCompressionCache Domain.MigrateGetMaxSpeed Domain.MigrateSetCompressionCache"
        " Domain.MigrateSetMaxDowntime Domain.MigrateSetMaxSpeed Domain.MigrateStartPostCopy Domain.MigrateToURI3"
    ),
    "tuning of a running guest": (
        "Domain.GetBlockIOParameters Domain.SetBlockIOParameters Domain.GetBlockIOTune Domain.SetBlockIOTune"
        " Domain.GetInterfaceParameters Domain.SetInterfaceParameters Domain.GetMemoryParameters Domain.SetMemoryParameters"
        " Domain.GetNumaParameters Domain.SetNumaParameters Domain.GetPerfEvents Domain.SetPerfEvents"
        " Domain.GetSchedulerParameters Domain.SetSchedulerParameters Domain.SchedulerType Domain.SetMemoryStatsPeriod"
    ),
    "pinning and iothreads of a running guest": (
        "Domain.AddIOThread Domain.DelIOThread Domain.GetIOThreadInfo Domain.PinIOThread Domain.PinEmulator"
        " Domain.GetEmulatorPinInfo Domain.PinVcpu Domain.GetVcpuPinInfo"
    ),
    "the guest agent's own calls": (
        "Domain.FSFreeze Domain.FSThaw Domain.FSTrim Domain.GetFSInfo Domain.GetGuestVcpus Domain.SetGuestVcpus"
        " Domain.GetHostname Domain.GetTime Domain.SetTime Domain.SetUserPassword Domain.InterfaceAddresses"
    ),
    "dumps and looking into memory": "Domain.CoreDump Domain.MemoryPeek",
    "descriptors of displays": "Domain.OpenGraphicsFD",
    "signals to processes of the guest": "Domain.SendProcessSignal",
    "the state of the monitor and of labels": "Domain.GetControlInfo Domain.GetSecurityLabelList",
}  # fmt: skip
"""`Kind.*`: all methods and properties of that interface."""


def lacking(interface: str, member: str) -> str | None:
    """What the engine lacks for a member, None if nothing."""
    kind = interface.removeprefix("org.libvirt.")
    return _BY_NAME.get(f"{kind}.{member}") or _BY_NAME.get(f"{kind}.*")


_BY_NAME = {name: reason for reason, names in MISSING.items() for name in names.split()}
