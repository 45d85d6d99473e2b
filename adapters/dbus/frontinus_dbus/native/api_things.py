"""The interfaces of org.frontinus1 for what guests use: networks, pools with their volumes, secrets, filters. Sizes in bytes."""

from __future__ import annotations

from frontinus_dbus.table import Interface, method, prop, signal

NETWORK = Interface("org.frontinus1.Network", (
    method("Start", "", "", "Start it."),
    method("Destroy", "", "", "Stop it; its guests lose their link."),
    method("Undefine", "", "", "Forget the definition; while it is active it becomes transient."),
    method("Xml", "inactive:b", "xml:s", "The definition, as it is or (inactive) as it will be at its next start."),
    method("Update", "command:s section:s index:i xml:s live:b config:b", "",
           "Change one section: modify, delete, add-first or add-last; index says which <ip> or <dns>, -1 the first that fits."),
    method("Leases", "mac:s", "leases:aa{sv}", "DHCP leases, of one MAC address or (empty) all."),
    method("Ports", "", "ports:aa{sv}", "The NICs that are on it."),
), (
    prop("Uuid", "s", const=True),
    prop("Name", "s"),
    prop("Active", "b"),
    prop("Persistent", "b"),
    prop("Autostart", "b", write=True),
    prop("Bridge", "s", "The host's device, empty without one."),
    prop("Forward", "s", "isolated, nat, route, open, bridge, private, vepa, passthrough, hostdev."),
    prop("Domain", "s", "Its DNS domain, empty without one."),
    prop("PortCount", "u"),
    prop("LeaseCount", "u"),
), (
    signal("Lease", "kind:s lease:a{sv}", "A DHCP lease was added, renewed or removed."),
), tells=True)  # fmt: skip

POOL = Interface("org.frontinus1.Pool", (
    method("Start", "", "", "Start it."),
    method("Build", "flags:as", "", "Make what it needs: new, repair, resize, no-overwrite, overwrite."),
    method("Refresh", "", "", "Look anew at what is in it."),
    method("Destroy", "", "", "Stop it; its data stays."),
    method("Delete", "", "", "Remove the data of an inactive pool."),
    method("Undefine", "", "", "Forget the definition."),
    method("Xml", "inactive:b", "xml:s", "The definition, as it is or (inactive) as it will be at its next start."),
    method("Volumes", "", "volumes:a{sa{sv}}", "Its volumes by name, with their facts."),
    method("VolumeXml", "volume:s", "xml:s", "The definition of a volume."),
    method("CreateVolume", "xml:s flags:as", "name:s", "A new volume: prealloc-metadata, reflink, validate."),
    method("CloneVolume", "xml:s source_pool:s source:s flags:as", "name:s", "A new volume with the content of another. A job."),
    method("ResizeVolume", "volume:s capacity:t flags:as", "", "Give it another size: allocate, delta, shrink."),
    method("WipeVolume", "volume:s algorithm:s", "", "Overwrite all of it, with zeros if the algorithm is empty. A job."),
    method("SetVolumeSecret", "volume:s secret:s", "", "Let another secret, by its UUID, open an encrypted volume. A job."),
    method("DeleteVolume", "volume:s", "", "Remove it with its data."),
), (
    prop("Uuid", "s", const=True),
    prop("Name", "s"),
    prop("Kind", "s", "dir, logical and so on."),
    prop("State", "s", "inactive, building, running, degraded, inaccessible."),
    prop("Active", "b"),
    prop("Persistent", "b"),
    prop("Autostart", "b", write=True),
    prop("Path", "s", "Its target, empty without one."),
    prop("Capacity", "t"),
    prop("Allocation", "t"),
    prop("Available", "t"),
    prop("VolumeCount", "u"),
), (
    signal("Volume", "kind:s volume:s", "A volume was created, deleted or changed."),
), tells=True)  # fmt: skip

SECRET = Interface("org.frontinus1.Secret", (
    method("Xml", "", "xml:s", "The definition, which never holds the value."),
    method("Value", "", "value:ay", "The value, unless the secret is private."),
    method("SetValue", "value:ay", "", "Set the value."),
    method("Undefine", "", "", "Forget it and its value."),
), (
    prop("Uuid", "s", const=True),
    prop("UsageType", "s", "none, volume, ceph, iscsi, tls, vtpm."),
    prop("Usage", "s", "The path of the volume, or the name that definitions refer to."),
    prop("Description", "s"),
    prop("Ephemeral", "b"),
    prop("Private", "b"),
    prop("HasValue", "b"),
    prop("Protection", "s", "What keeps its value."),
), tells=True)  # fmt: skip

FILTER = Interface("org.frontinus1.Filter", (
    method("Xml", "", "xml:s", "The definition."),
    method("Undefine", "", "", "Forget it; not while a filter or a NIC refers to it."),
), (
    prop("Uuid", "s", const=True),
    prop("Name", "s"),
    prop("Builtin", "b", "Whether it came with us: it can be replaced, not removed."),
), tells=True)  # fmt: skip
