"""Networks, pools, secrets and filters of org.frontinus1: what their tables call."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus_dbus.native import api_things
from frontinus_dbus.native.kinds import Kind, by_name, does, listed, name_of, sets
from frontinus_dbus.service import Handler

NETWORK_METHODS: Mapping[str, Handler] = {
    "Start": does(lambda e, n: e.start_network(n)),
    "Destroy": does(lambda e, n: e.destroy_network(n)),
    "Undefine": does(lambda e, n: e.undefine_network(n)),
    "Xml": does(lambda e, n, inactive: e.network_xml(n, inactive)),
    "Update": does(lambda e, n, command, section, index, xml, live, config: e.update_network(
        n, command, section, xml, index, live, config)),
    "Leases": does(lambda e, n, mac: listed(e.network_leases(n, mac or None))),
    "Ports": does(lambda e, n: listed(e.network_ports(n))),
}  # fmt: skip
POOL_METHODS: Mapping[str, Handler] = {
    "Start": does(lambda e, p: e.start_pool(p)),
    "Build": does(lambda e, p, flags: e.build_pool(p, flags)),
    "Refresh": does(lambda e, p: e.refresh_pool(p)),
    "Destroy": does(lambda e, p: e.destroy_pool(p)),
    "Delete": does(lambda e, p: e.delete_pool(p)),
    "Undefine": does(lambda e, p: e.undefine_pool(p)),
    "Xml": does(lambda e, p, inactive: e.pool_xml(p, inactive)),
    "Volumes": does(lambda e, p: by_name(e.volumes(p))),
    "VolumeXml": does(lambda e, p, volume: e.volume_xml(p, volume)),
    "CreateVolume": does(lambda e, p, xml, flags: name_of(e.create_volume(p, xml, flags))),
    "CloneVolume": does(lambda e, p, xml, *source: name_of(e.clone_volume(p, xml, *source))),
    "ResizeVolume": does(lambda e, p, volume, capacity, flags: e.resize_volume(p, volume, capacity, flags)),
    "WipeVolume": does(lambda e, p, volume, algorithm: e.wipe_volume(p, volume, algorithm or "zero")),
    "SetVolumeSecret": does(lambda e, p, volume, secret: e.set_volume_secret(p, volume, secret)),
    "DeleteVolume": does(lambda e, p, volume: e.delete_volume(p, volume)),
}
SECRET_METHODS: Mapping[str, Handler] = {
    "Xml": does(lambda e, s: e.secret_xml(s)),
    "Value": does(lambda e, s: e.secret_value(s)),
    "SetValue": does(lambda e, s, value: e.set_secret_value(s, bytes(value))),
    "Undefine": does(lambda e, s: e.undefine_secret(s)),
}
FILTER_METHODS: Mapping[str, Handler] = {
    "Xml": does(lambda e, f: e.filter_xml(f)),
    "Undefine": does(lambda e, f: e.undefine_filter(f)),
}

NETWORK = Kind("network", "network", api_things.NETWORK, {
    "Uuid": lambda n: n.uuid, "Name": lambda n: n.name, "Active": lambda n: n.active, "Persistent": lambda n: n.persistent,
    "Autostart": lambda n: n.autostart, "Bridge": lambda n: n.bridge or "", "Forward": lambda n: n.forward,
    "Domain": lambda n: n.domain or "", "PortCount": lambda n: n.ports, "LeaseCount": lambda n: n.leases,
}, NETWORK_METHODS, {"Autostart": sets(lambda e, n, on: e.set_network_autostart(n, on))})  # fmt: skip
POOL = Kind("pool", "storagepool", api_things.POOL, {
    "Uuid": lambda p: p.uuid, "Name": lambda p: p.name, "Kind": lambda p: p.kind, "State": lambda p: p.state,
    "Active": lambda p: p.active, "Persistent": lambda p: p.persistent, "Autostart": lambda p: p.autostart,
    "Path": lambda p: p.path or "", "Capacity": lambda p: p.capacity, "Allocation": lambda p: p.allocation,
    "Available": lambda p: p.available, "VolumeCount": lambda p: p.volumes,
}, POOL_METHODS, {"Autostart": sets(lambda e, p, on: e.set_pool_autostart(p, on))})  # fmt: skip
SECRET = Kind("secret", "secret", api_things.SECRET, {
    "Uuid": lambda s: s.uuid, "UsageType": lambda s: s.usage_type, "Usage": lambda s: s.usage,
    "Description": lambda s: s.description or "", "Ephemeral": lambda s: s.ephemeral, "Private": lambda s: s.private,
    "HasValue": lambda s: s.has_value, "Protection": lambda s: s.protection or "",
}, SECRET_METHODS)  # fmt: skip
FILTER = Kind("filter", "nwfilter", api_things.FILTER, {
    "Uuid": lambda f: f.uuid, "Name": lambda f: f.name, "Builtin": lambda f: f.builtin,
}, FILTER_METHODS)  # fmt: skip
