"""The commands of `frontinus`, in virsh's words: one row each, a file a concern."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from frontinus.client.commands.base import Command

FILES: Mapping[str, str] = {
    "guests": "list dominfo domstate dumpxml domuuid domname domid",
    "power": "start create shutdown reboot reset destroy suspend resume dompmsuspend dompmwakeup set-lifecycle-action"
    " dom-fd-associate",
    "definitions": "define undefine edit autostart domrename desc metadata domxml-to-native",
    "devices": "attach-device detach-device update-device detach-device-alias attach-disk detach-disk attach-interface"
    " detach-interface domif-setlink change-media setmem setmaxmem setvcpus setvcpu update-memory-device blockresize",
    "figures": "domstats domdirtyrate-calc dommemstat domblkstat domifstat domblklist domiflist vcpuinfo",
    "looks": "domblkinfo domdisplay vncdisplay vcpucount cpu-stats domif-getlink",
    "saved": "managedsave managedsave-remove save restore save-image-dumpxml save-image-define save-image-edit"
    " managedsave-dumpxml managedsave-define managedsave-edit",
    "interaction": "screenshot send-key inject-nmi console ttyconsole qemu-monitor-command qemu-agent-command qemu-monitor-event"
    " event domjobinfo domjobabort",
    "host": "version nodeinfo hostname capabilities domcapabilities nodecpustats nodememstats nodecpumap freecell freepages"
    " allocpages sysinfo node-memory-tune cpu-models maxvcpus hypervisor-cpu-models cpu-compare cpu-baseline"
    " hypervisor-cpu-compare hypervisor-cpu-baseline",
    "tuning": "vcpupin emulatorpin iothreadinfo iothreadpin iothreadadd iothreadset iothreaddel schedinfo memtune blkiotune"
    " numatune domiftune blkdeviotune perf",
    "inside": "dump domcontrol domblkerror domlabels domhostname domtime domfsinfo domfsfreeze domfsthaw domfstrim"
    " guestvcpus set-user-password get-user-sshkeys set-user-sshkeys guest-agent-timeout guestinfo",
    "snapshots": "snapshot-create snapshot-create-as snapshot-list snapshot-info snapshot-dumpxml snapshot-current snapshot-parent"
    " snapshot-revert snapshot-delete snapshot-edit",
    "checkpoints": "checkpoint-create checkpoint-create-as checkpoint-list checkpoint-info"
    " checkpoint-dumpxml checkpoint-parent checkpoint-edit checkpoint-delete backup-begin backup-dumpxml",
    "blockjobs": "blockcopy blockcommit blockpull blockjob domblkthreshold",
    "filters": "nwfilter-list nwfilter-dumpxml nwfilter-define nwfilter-undefine nwfilter-edit nwfilter-binding-list"
    " nwfilter-binding-dumpxml nwfilter-binding-create nwfilter-binding-delete",
    "pools": "pool-list pool-info pool-dumpxml pool-define pool-define-as pool-create pool-create-as pool-build pool-start"
    " pool-refresh pool-destroy pool-delete pool-undefine pool-autostart pool-edit pool-uuid pool-name pool-capabilities"
    " find-storage-pool-sources find-storage-pool-sources-as",
    "volumes": "vol-list vol-info vol-dumpxml vol-create vol-create-as vol-create-from vol-clone vol-resize vol-wipe"
    " vol-upload vol-download vol-delete vol-set-secret vol-path vol-key vol-name vol-pool"
    " job-list job-abort",
    "secrets": "secret-list secret-info secret-define secret-dumpxml secret-set-value secret-get-value secret-undefine",
    "storageevents": "pool-event secret-event",
    "networks": "net-list net-info net-dumpxml net-define net-undefine net-create net-start net-destroy net-autostart"
    " net-edit net-update net-uuid net-name net-dhcp-leases net-port-list net-port-dumpxml net-port-create"
    " net-port-delete net-event domifaddr",
    "program": "help manual uri echo cd pwd quit exit",
    "offline": "argv xml dnsmasq firewall abi-check completion install-service",
}
"""The commands of each file: a command imports its own file alone, so that it starts fast."""


def load(file: str) -> Mapping[str, Command]:
    """The commands of one file by name."""
    module = import_module(f"frontinus.client.commands.{file}")
    return {command.name: command for command in module.COMMANDS}


def commands() -> Mapping[str, Command]:
    """Every command by name."""
    return {name: command for file in FILES for name, command in load(file).items()}


def find(name: str) -> Command | None:
    """One command, its file alone imported."""
    file = next((file for file, names in FILES.items() if name in names.split()), None)
    return load(file)[name] if file else None
