"""virsh's words that are not here, and what they lack: said to whoever types one, and listed in docs/virsh.md.

A test compares both tables with the words and options that virsh has (libvirt 9.0, and what newer ones added).
"""

from __future__ import annotations

from collections.abc import Mapping

MIGRATION = "guests cannot be migrated yet"
INTERFACES = "the host's own interfaces are not managed"
DEVICES = "the host's devices are not managed yet"
ELSEWHERE = "libvirt's QEMU driver cannot do it either"
SEV = "encrypted guests (SEV) were never tried: no such hardware"
GROUPS = "throttle groups are changed in the XML only"


def _each(why: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


LACKING: Mapping[str, str] = {
    **_each(MIGRATION, "migrate migrate-compcache migrate-getmaxdowntime migrate-getspeed migrate-postcopy"
            " migrate-setmaxdowntime migrate-setspeed"),
    **_each(INTERFACES, "iface-begin iface-bridge iface-commit iface-define iface-destroy iface-dumpxml iface-edit iface-list"
            " iface-mac iface-name iface-rollback iface-start iface-unbridge iface-undefine"),
    **_each(DEVICES, "nodedev-autostart nodedev-create nodedev-define nodedev-destroy nodedev-detach nodedev-dumpxml"
            " nodedev-event nodedev-info nodedev-list nodedev-reattach nodedev-reset nodedev-start nodedev-undefine"
            " nodedev-update"),
    **_each(ELSEWHERE, "domxml-from-native lxc-enter-namespace qemu-attach send-process-signal"),
    **_each(SEV, "domlaunchsecinfo domsetlaunchsecstate nodesevinfo"),
    **_each(GROUPS, "domthrottlegroupset domthrottlegroupdel domthrottlegroupinfo domthrottlegrouplist"),
    "connect": "a program speaks with one engine; give --socket or --connect",
    "domdisplay-reload": "certificates of displays are read when a guest starts",
    "net-desc": "networks have no title of their own",
    "net-metadata": "networks keep what applications write into their XML, but it is changed by net-edit",
    "nodesuspend": "the host is left alone",
}  # fmt: skip
"""Commands, and what is missing."""

LACKING_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "checkpoint-dumpxml": {"security-info": "a checkpoint shows no passwords"},
    "echo": {"split": "words are parted as a shell parts them"},
    "cpu-stats": {"start": "times are of all CPUs together", "count": "times are of all CPUs together"},
    "destroy": {"remove-logs": "logs stay"},
    "domblkstat": {"human": "the names are those of domstats"},
    "domfstrim": {"mountpoint": "the agent trims all"},
    "domjobabort": {"postcopy": MIGRATION},
    "domstats": {"perf": "events are not counted",
                 "vm": "QEMU's own statistics are not read", "backing": "figures are of whole disks"},
    "dumpxml": {"update-cpu": "a running guest's CPU is shown as it is, a definition's as it was given"},
    "hypervisor-cpu-baseline": {"model": "give a file"},
    "memtune": {"min-guarantee": ELSEWHERE},
    "qemu-agent-command": {"async": "every answer is waited for; see --timeout"},
    "schedinfo": {"weight": "Xen's alone", "cap": "Xen's alone"},
    "setvcpus": {"hotpluggable": "vCPUs that are added to a definition are there at the start"},
    "undefine": {"delete-storage-volume-snapshots": "snapshots inside a volume go with it",
                 "tpm": "a TPM's state stays", "keep-tpm": "a TPM's state stays, as always"},
    "vol-delete": {"delete-snapshots": "snapshots inside a volume go with it"},
}  # fmt: skip
"""Options of commands that are here."""
