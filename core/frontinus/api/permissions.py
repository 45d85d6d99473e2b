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
    "jobs": _read("domain", "read"),
    "abort_job": _write("domain", "write"),
}
"""Every method of Engine; a test compares both ways. `guest_xml` with "secure" needs read-secure, checked by the engine."""

READ_SECURE = _write("domain", "read-secure")
