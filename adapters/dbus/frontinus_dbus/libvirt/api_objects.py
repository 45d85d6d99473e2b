"""The other interfaces of libvirt-dbus's API: names and signatures that clients know."""

from __future__ import annotations

from frontinus_dbus.table import Interface, method, prop, signal

DOMAINSNAPSHOT = Interface("org.libvirt.DomainSnapshot", (
    method("Delete", "flags:u"),
    method("GetParent", "flags:u", "domainSnapshot:o"),
    method("GetXMLDesc", "flags:u", "xml:s"),
    method("IsCurrent", "flags:u", "domainSnapshot:b"),
    method("ListChildren", "flags:u", "domainSnapshots:ao"),
    method("Revert", "flags:u"),
), (
), (
))  # fmt: skip

INTERFACE = Interface("org.libvirt.Interface", (
    method("Create", "flags:u"),
    method("Destroy", "flags:u"),
    method("GetXMLDesc", "flags:u", "xml:s"),
    method("Undefine"),
), (
    prop("Active", "b"),
    prop("MAC", "s", const=True),
    prop("Name", "s", const=True),
), (
))  # fmt: skip

NWFILTER = Interface("org.libvirt.NWFilter", (
    method("GetXMLDesc", "flags:u", "xml:s"),
    method("Undefine"),
), (
    prop("Name", "s", const=True),
    prop("UUID", "s", const=True),
), (
))  # fmt: skip

NETWORK = Interface("org.libvirt.Network", (
    method("Create"),
    method("Destroy"),
    method("GetDHCPLeases", "mac:s flags:u", "leases:a(sxisssuss)"),
    method("GetXMLDesc", "flags:u", "xml:s"),
    method("Undefine"),
    method("Update", "command:u section:u parentIndex:i xml:s flags:u"),
), (
    prop("Active", "b"),
    prop("Autostart", "b", write=True),
    prop("Name", "s", const=True),
    prop("Persistent", "b"),
    prop("UUID", "s", const=True),
), (
))  # fmt: skip

NODEDEVICE = Interface("org.libvirt.NodeDevice", (
    method("Destroy"),
    method("Detach", "driverName:s flags:u"),
    method("GetXMLDesc", "flags:u", "xml:s"),
    method("ListCaps", "", "names:as"),
    method("ReAttach"),
    method("Reset"),
), (
    prop("Name", "s", const=True),
    prop("Parent", "s", const=True),
), (
))  # fmt: skip

SECRET = Interface("org.libvirt.Secret", (
    method("GetValue", "flags:u", "value:ay"),
    method("GetXMLDesc", "flags:u", "xml:s"),
    method("SetValue", "value:ay flags:u"),
    method("Undefine"),
), (
    prop("UUID", "s", const=True),
    prop("UsageID", "s", const=True),
    prop("UsageType", "i", const=True),
), (
))  # fmt: skip

STORAGEPOOL = Interface("org.libvirt.StoragePool", (
    method("Build", "flags:u"),
    method("Create", "flags:u"),
    method("Delete", "flags:u"),
    method("Destroy"),
    method("GetInfo", "", "info:(ittt)"),
    method("GetXMLDesc", "flags:u", "xml:s"),
    method("ListStorageVolumes", "flags:u", "storageVols:ao"),
    method("Refresh", "flags:u"),
    method("StorageVolCreateXML", "xml:s flags:u", "storageVol:o"),
    method("StorageVolCreateXMLFrom", "xml:s key:s flags:u", "storageVol:o"),
    method("StorageVolLookupByName", "name:s", "storageVol:o"),
    method("Undefine"),
), (
    prop("Active", "b"),
    prop("Autostart", "b", write=True),
    prop("Name", "s", const=True),
    prop("Persistent", "b"),
    prop("UUID", "s", const=True),
), (
    signal("Refresh"),
))  # fmt: skip

STORAGEVOL = Interface("org.libvirt.StorageVol", (
    method("Delete", "flags:u"),
    method("GetInfo", "flags:u", "info:(itt)"),
    method("GetXMLDesc", "flags:u", "xml:s"),
    method("Resize", "capacity:t flags:u"),
    method("Wipe", "pattern:u flags:u"),
), (
    prop("Name", "s", const=True),
    prop("Key", "s", const=True),
    prop("Path", "s", const=True),
), (
))  # fmt: skip
