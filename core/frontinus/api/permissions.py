"""Who may do what: one row per method of the facade. The names are those that administrators' polkit rules use already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Permission:
    """`object`.`verb`, as in org.libvirt.api.domain.start; a monitor-only caller may do what is not `write`."""

    object: str
    verb: str
    write: bool = False

    def __str__(self) -> str:
        return f"{self.object}.{self.verb}"


def _read(obj: str, verb: str) -> Permission:
    return Permission(obj, verb)


def _write(obj: str, verb: str) -> Permission:
    return Permission(obj, verb, write=True)


PERMISSIONS: Mapping[str, Permission] = {
    "version": _read("connect", "getattr"),
    "host": _read("connect", "read"),
    "capabilities": _read("connect", "read"),
    "domain_capabilities": _read("connect", "read"),
    "watch": _read("connect", "search-domains"),
    "guests": _read("connect", "search-domains"),
    "guest": _read("domain", "getattr"),
    "guest_xml": _read("domain", "read"),
    "argv": _write("connect", "write"),
    "define": _write("domain", "save"),
    "undefine": _write("domain", "delete"),
    "create": _write("domain", "start"),
    "start": _write("domain", "start"),
    "shutdown": _write("domain", "init-control"),
    "reboot": _write("domain", "init-control"),
    "reset": _write("domain", "reset"),
    "destroy": _write("domain", "stop"),
    "suspend": _write("domain", "suspend"),
    "resume": _write("domain", "suspend"),
    "pm_suspend": _write("domain", "pm-control"),
    "pm_wakeup": _write("domain", "pm-control"),
    "set_autostart": _write("domain", "write"),
    "rename": _write("domain", "write"),
    "metadata": _read("domain", "read"),
    "set_metadata": _write("domain", "write"),
    "managed_save": _write("domain", "hibernate"),
    "managed_save_remove": _write("domain", "hibernate"),
    "save": _write("domain", "hibernate"),
    "restore": _write("domain", "start"),
    "saved_xml": _write("domain", "read"),
    "screenshot": _write("domain", "screenshot"),
    "send_keys": _write("domain", "send-input"),
    "inject_nmi": _write("domain", "inject-nmi"),
    "open_console": _write("domain", "open-device"),
    "set_vcpus": _write("domain", "write"),
    "set_memory": _write("domain", "write"),
    "attach_device": _write("domain", "write"),
    "detach_device": _write("domain", "write"),
    "detach_alias": _write("domain", "write"),
    "update_device": _write("domain", "write"),
    "block_resize": _write("domain", "block-write"),
    "stats": _read("domain", "read"),
    "agent_command": _write("domain", "write"),
    "monitor_command": _write("domain", "write"),
    "poll": _read("domain", "read"),
    "measure_dirty_rate": _write("domain", "write"),
    "jobs": _read("domain", "read"),
    "abort_job": _write("domain", "write"),
    # networks
    "networks": _read("connect", "search-networks"),
    "network": _read("network", "getattr"),
    "network_xml": _read("network", "read"),
    "define_network": _write("network", "save"),
    "undefine_network": _write("network", "delete"),
    "create_network": _write("network", "start"),
    "start_network": _write("network", "start"),
    "destroy_network": _write("network", "stop"),
    "set_network_autostart": _write("network", "write"),
    "update_network": _write("network", "write"),
    "network_leases": _read("network", "read"),
    "network_ports": _read("network", "search-ports"),
    "network_port_xml": _read("network-port", "read"),
    "create_network_port": _write("network-port", "create"),
    "delete_network_port": _write("network-port", "delete"),
    "guest_addresses": _read("domain", "read"),
    # filters
    "filters": _read("connect", "search-nwfilters"),
    "filter": _read("nwfilter", "getattr"),
    "filter_xml": _read("nwfilter", "read"),
    "define_filter": _write("nwfilter", "save"),
    "undefine_filter": _write("nwfilter", "delete"),
    "filter_bindings": _read("connect", "search-nwfilter-bindings"),
    "filter_binding": _read("nwfilter-binding", "getattr"),
    "filter_binding_xml": _read("nwfilter-binding", "read"),
    "create_filter_binding": _write("nwfilter-binding", "create"),
    "delete_filter_binding": _write("nwfilter-binding", "delete"),
    # pools and volumes
    "pools": _read("connect", "search-storage-pools"),
    "pool": _read("storage-pool", "getattr"),
    "pool_xml": _read("storage-pool", "read"),
    "define_pool": _write("storage-pool", "save"),
    "undefine_pool": _write("storage-pool", "delete"),
    "create_pool": _write("storage-pool", "start"),
    "build_pool": _write("storage-pool", "format"),
    "start_pool": _write("storage-pool", "start"),
    "refresh_pool": _write("storage-pool", "refresh"),
    "destroy_pool": _write("storage-pool", "stop"),
    "delete_pool": _write("storage-pool", "format"),
    "set_pool_autostart": _write("storage-pool", "write"),
    "find_pool_sources": _write("connect", "detect-storage-pools"),
    "pool_capabilities": _read("connect", "read"),
    "volumes": _read("storage-pool", "search-storage-vols"),
    "volume": _read("storage-vol", "getattr"),
    "volume_by_path": _read("storage-vol", "getattr"),
    "volume_by_key": _read("storage-vol", "getattr"),
    "volume_xml": _read("storage-vol", "read"),
    "create_volume": _write("storage-vol", "create"),
    "clone_volume": _write("storage-vol", "create"),
    "resize_volume": _write("storage-vol", "resize"),
    "wipe_volume": _write("storage-vol", "format"),
    "upload_volume": _write("storage-vol", "data-write"),
    "download_volume": _write("storage-vol", "data-read"),
    "upload_pieces": _write("storage-vol", "data-write"),
    "download_pieces": _write("storage-vol", "data-read"),
    "set_volume_secret": _write("storage-vol", "format"),
    "delete_volume": _write("storage-vol", "delete"),
    # secrets
    "secrets": _read("connect", "search-secrets"),
    "secret": _read("secret", "getattr"),
    "secret_by_usage": _read("secret", "getattr"),
    "secret_xml": _read("secret", "read"),
    "define_secret": _write("secret", "save"),
    "undefine_secret": _write("secret", "delete"),
    "secret_value": _write("secret", "read-secure"),
    "set_secret_value": _write("secret", "write"),
    # snapshots, checkpoints, backups
    "snapshots": _read("domain", "read"),
    "snapshot": _read("domain", "read"),
    "current_snapshot": _read("domain", "read"),
    "snapshot_xml": _read("domain", "read"),
    "create_snapshot": _write("domain", "snapshot"),
    "revert_snapshot": _write("domain", "snapshot"),
    "delete_snapshot": _write("domain", "snapshot"),
    "checkpoints": _read("domain", "read"),
    "checkpoint": _read("domain", "read"),
    "checkpoint_xml": _read("domain", "read"),
    "create_checkpoint": _write("domain", "checkpoint"),
    "delete_checkpoint": _write("domain", "checkpoint"),
    "begin_backup": _write("domain", "checkpoint"),
    "backup_xml": _read("domain", "read"),
    # block jobs
    "block_jobs": _read("domain", "read"),
    "block_job": _read("domain", "read"),
    "block_copy": _write("domain", "block-write"),
    "block_commit": _write("domain", "block-write"),
    "block_pull": _write("domain", "block-write"),
    "abort_block_job": _write("domain", "block-write"),
    "set_block_job_speed": _write("domain", "block-write"),
    "set_block_threshold": _write("domain", "block-write"),
    # tuning, looking into guests, their agents, the host
    "vcpu_pins": _read("domain", "read"),
    "pin_vcpu": _write("domain", "write"),
    "emulator_pin": _read("domain", "read"),
    "pin_emulator": _write("domain", "write"),
    "iothreads": _read("domain", "read"),
    "add_iothread": _write("domain", "write"),
    "del_iothread": _write("domain", "write"),
    "pin_iothread": _write("domain", "write"),
    "scheduler_parameters": _read("domain", "read"),
    "set_scheduler_parameters": _write("domain", "write"),
    "memory_parameters": _read("domain", "read"),
    "set_memory_parameters": _write("domain", "write"),
    "blkio_parameters": _read("domain", "read"),
    "set_blkio_parameters": _write("domain", "write"),
    "numa_parameters": _read("domain", "read"),
    "set_numa_parameters": _write("domain", "write"),
    "interface_parameters": _read("domain", "read"),
    "set_interface_parameters": _write("domain", "write"),
    "block_io_tune": _read("domain", "read"),
    "set_block_io_tune": _write("domain", "write"),
    "set_memory_stats_period": _write("domain", "write"),
    "perf_events": _read("domain", "read"),
    "set_perf_events": _write("domain", "write"),
    "core_dump": _write("domain", "core-dump"),
    "memory_peek": _write("domain", "mem-read"),
    "block_peek": _write("domain", "block-read"),
    "disk_errors": _read("domain", "read"),
    "control_info": _read("domain", "read"),
    "security_labels": _read("domain", "read"),
    "open_graphics": _write("domain", "open-graphics"),
    "redefine_saved": _write("domain", "write"),
    "guest_hostname": _write("domain", "write"),
    "guest_time": _write("domain", "write"),
    "set_guest_time": _write("domain", "set-time"),
    "guest_zone": _write("domain", "write"),
    "guest_filesystems": _write("domain", "fs-freeze"),
    "freeze": _write("domain", "fs-freeze"),
    "thaw": _write("domain", "fs-freeze"),
    "trim": _write("domain", "fs-trim"),
    "guest_vcpus": _write("domain", "write"),
    "set_guest_vcpus": _write("domain", "write"),
    "guest_users": _write("domain", "write"),
    "guest_os": _write("domain", "write"),
    "set_user_password": _write("domain", "set-password"),
    "guest_disks": _write("domain", "fs-freeze"),
    "authorized_keys": _write("domain", "write"),
    "set_authorized_keys": _write("domain", "write"),
    "set_agent_timeout": _write("domain", "write"),
    "set_iothread": _write("domain", "write"),
    "switch_vcpus": _write("domain", "write"),
    "node_cpu_stats": _read("connect", "read"),
    "node_memory_stats": _read("connect", "read"),
    "node_cpu_map": _read("connect", "read"),
    "node_sysinfo": _read("connect", "read"),
    "node_security_model": _read("connect", "read"),
    "node_memory_parameters": _read("connect", "read"),
    "set_node_memory_parameters": _write("connect", "write"),
    "cpu_models": _read("connect", "read"),
    "compare_cpu": _read("connect", "read"),
    "baseline_cpu": _read("connect", "read"),
    "compare_hypervisor_cpu": _read("connect", "read"),
    "baseline_hypervisor_cpu": _read("connect", "read"),
    "free_pages": _read("connect", "read"),
    "allocate_pages": _write("connect", "write"),
    # with options
    "start_with": _write("domain", "start"),
    "create_with": _write("domain", "start"),
    "save_with": _write("domain", "hibernate"),
    "restore_with": _write("domain", "start"),
    "dump_with": _write("domain", "core-dump"),
    "saved_definition": _write("domain", "read"),
    "managed_definition": _read("domain", "read"),
    "redefine_managed": _write("domain", "write"),
    "set_lifecycle_action": _write("domain", "write"),
    "watch_monitor": _write("domain", "write"),
    # with descriptors
    "associate_descriptors": _write("domain", "write"),
    "start_with_files": _write("domain", "start"),
    "create_with_files": _write("domain", "start"),
    "monitor_command_with_files": _write("domain", "write"),
}
"""Every method of Engine; a test compares both ways. Who asks a guest's agent makes the guest work: that is a write."""

READ_SECURE = _write("domain", "read-secure")
ASK_AGENT = _write("domain", "write")
RUN_PROGRAM = _write("connect", "write")
ANY = object()
"""Whatever an argument is, if it is given."""


@dataclass(frozen=True)
class More:
    """A permission that a call needs beside its method's when an argument is this value, or holds it, or with ANY is given."""

    argument: str
    value: object
    permission: Permission

    def needed(self, given: Mapping[str, object]) -> bool:
        """Whether a call with these arguments needs it."""
        found = given.get(self.argument)
        if self.value is ANY:
            return found is not None
        return found == self.value or (isinstance(found, (list, tuple)) and self.value in found)


MORE: Mapping[str, More] = {
    "guest_xml": More("flags", "secure", READ_SECURE),
    "snapshot_xml": More("secure", True, READ_SECURE),
    "saved_definition": More("flags", "secure", READ_SECURE),
    "managed_definition": More("flags", "secure", READ_SECURE),
    "guest_addresses": More("source", "agent", ASK_AGENT),
    "domain_capabilities": More("emulator", ANY, RUN_PROGRAM),
    "compare_hypervisor_cpu": More("emulator", ANY, RUN_PROGRAM),
    "baseline_hypervisor_cpu": More("emulator", ANY, RUN_PROGRAM),
}
"""Where it matters what is asked for. Tests find every method that can be asked for secrets, or to run a program."""


def needed(name: str, given: Mapping[str, object]) -> tuple[Permission, ...]:
    """What a call needs on its own object, by its method and its arguments."""
    more = MORE.get(name)
    return (PERMISSIONS[name], *((more.permission,) if more is not None and more.needed(given) else ()))
