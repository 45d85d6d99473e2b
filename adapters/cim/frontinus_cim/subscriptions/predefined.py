"""Filters that are there without a client having made them, and collections of them (DSP1054). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

OWNER = "Frontinus:"
"""What the names of all of them begin with, and no name of a client's."""
CREATED, MODIFIED, DELETED = "Created", "Modified", "Deleted"
LIFE = {CREATED: "CIM_InstCreation", MODIFIED: "CIM_InstModification", DELETED: "CIM_InstDeletion"}
"""Indications of what comes, changes and goes, where there is no class of our own."""


def _changes(cls: str) -> dict[str, str]:
    return {kind: f"SELECT * FROM {cls}{kind}Indication" for kind in LIFE}


QUERIES: Mapping[str, str] = {
    **{f"{OWNER}Guest{kind}": text for kind, text in _changes("KVM_ComputerSystem").items()},
    f"{OWNER}GuestStateChanged": "SELECT * FROM KVM_ComputerSystemModifiedIndication"
    " WHERE SourceInstance.EnabledState <> PreviousInstance.EnabledState",
    **{f"{OWNER}Resource{kind}": text for kind, text in _changes("KVM_ResourceAllocationSettingData").items()},
    **{f"{OWNER}Migration{kind}": text for kind, text in _changes("KVM_ComputerSystemMigrationJob").items()},
    f"{OWNER}JobCreated": "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA CIM_ConcreteJob",
    f"{OWNER}JobModified": "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ConcreteJob",
    **{
        f"{OWNER}{name}{kind}": f"SELECT * FROM {cls} WHERE SourceInstance ISA {source}"
        for name, source in (("Switch", "KVM_VirtualEthernetSwitch"), ("Port", "KVM_EthernetSwitchPort"))
        for kind, cls in LIFE.items()
    },
    f"{OWNER}Alert": "SELECT * FROM CIM_AlertIndication",
}
"""By name: what passes the filter, in WQL."""


def _all(*beginnings: str) -> Sequence[str]:
    return [name for name in QUERIES if name.removeprefix(OWNER).startswith(beginnings)]


COLLECTIONS: Mapping[str, Sequence[str]] = {
    f"{OWNER}Guests": [f"{OWNER}Guest{kind}" for kind in LIFE],
    f"{OWNER}Resources": _all("Resource"),
    f"{OWNER}Jobs": _all("Job"),
    f"{OWNER}Migrations": _all("Migration"),
    f"{OWNER}Switches": _all("Switch", "Port"),
    f"{OWNER}Alerts": _all("Alert"),
    f"{OWNER}All": [f"{OWNER}{name}" for name in ("Guests", "Resources", "Switches", "Jobs", "Migrations", "Alerts")],
}
"""By name: the filters and the collections in it."""
