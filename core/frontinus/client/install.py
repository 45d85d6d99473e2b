"""`frontinus install-service`: the files that make a host's init system, message bus, polkit, man and bash know us. It shows
what it would write, asks, and writes each file whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from frontinus import durable
from frontinus.api.permissions import ASK_AGENT, PERMISSIONS, READ_SECURE, Permission
from frontinus.client.completion import script
from frontinus.client.helping import manual
from frontinus.client.main import make_parser

USERS = ("frontinus", "frontinus-dbus", "frontinus-cim")
"""The adapters' users; those of adapters that speak for their callers are their own."""
NAMES = ("org.libvirt", "org.frontinus1")
READABLE = 0o644
ACTIONS = "usr/share/polkit-1/actions"
OURS, LIBVIRTS = "org.frontinus1.api", "org.libvirt.api"
VENDOR = """  <vendor>Frontinus</vendor>
"""


@dataclass(frozen=True)
class Place:
    """Where we are installed, and where files go: `root` stands in for /."""

    root: Path
    programs: Path
    group: str = "frontinus"


@dataclass(frozen=True)
class File:
    """One file to be written, and what it is for."""

    path: Path
    text: str
    purpose: str

    @property
    def state(self) -> str:
        try:
            return "same" if self.path.read_text() == self.text else "changed"
        except OSError:
            return "new"


def files(place: Place) -> list[File]:
    """Every file that a host needs. Pure but for a look at whether libvirt's own actions are registered."""
    rows: list[tuple[str, str, str]] = [
        ("etc/systemd/system/frontinusd.service", unit(place), "starts the daemon, which starts its adapters"),
        ("etc/sysusers.d/frontinus.conf", sysusers(place), "the users of the adapters, and the managing group"),
        ("etc/dbus-1/system.d/org.frontinus1.conf", bus_policy(), "who may own our names on the system bus, and call them"),
        *((f"usr/share/dbus-1/system-services/{name}.service", activation(name), f"starts us when {name} is called")
          for name in NAMES),
        (f"{ACTIONS}/org.frontinus1.policy", polkit_actions(OURS, "auth_admin_keep"), "what polkit can decide about"),
        ("usr/share/polkit-1/rules.d/60-frontinus.rules", polkit_rules(place.group), "the group may do all of it"),
        ("usr/local/share/man/man1/frontinus.1", manual(make_parser([])), "man frontinus"),
        ("usr/local/share/bash-completion/completions/frontinus", script("bash"), "what Tab completes in bash"),
    ]  # fmt: skip
    if not _registered(place, LIBVIRTS):
        libvirts = polkit_actions(LIBVIRTS, "no")
        rows.append(
            (f"{ACTIONS}/org.frontinus1.libvirt.policy", libvirts, "the same in libvirt's names, for rules that exist")
        )
    return [File(place.root / path, text, purpose) for path, text, purpose in rows]


def unit(place: Place) -> str:
    """The daemon's unit: guests outlive it, so it alone is stopped."""
    return f"""[Unit]
Description=Frontinus, the management engine of virtual machines
After=network.target dbus.service

[Service]
Type=notify
ExecStart={place.programs / "frontinusd"}
KillMode=process
Restart=on-failure
TasksMax=infinity
LimitNOFILE=65536
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""


def sysusers(place: Place) -> str:
    lines = [f"g {place.group} -"] if place.group not in USERS else []
    return "\n".join([*lines, *(f'u {user} - "Adapter of Frontinus"' for user in USERS)]) + "\n"


def bus_policy() -> str:
    """Everybody may call: what a caller may do is decided for each call, in the engine."""
    own = "\n".join(
        f'  <policy user="{user}">\n' + "\n".join(f'    <allow own="{name}"/>' for name in NAMES) + "\n  </policy>"
        for user in ("root", *USERS[:2])
    )
    call = "\n".join(f'    <allow send_destination="{name}"/>' for name in NAMES)
    return f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
{own}
  <policy context="default">
{call}
  </policy>
</busconfig>
"""


def activation(name: str) -> str:
    return f"[D-BUS Service]\nName={name}\nExec=/bin/false\nUser=root\nSystemdService=frontinusd.service\n"


def permissions() -> list[Permission]:
    """Every permission once; one that any method needs to change something is one to change."""
    found: dict[str, Permission] = {}
    for permission in (*PERMISSIONS.values(), READ_SECURE, ASK_AGENT):
        known = found.get(str(permission))
        if known is None or permission.write:
            found[str(permission)] = permission
    return sorted(found.values(), key=str)


READING = frozenset({"getattr", "read"})


def reads(permission: Permission) -> bool:
    """Whether everyone may, unless a rule says no."""
    return permission.verb in READING or permission.verb.startswith("search-")


def polkit_actions(prefix: str, changing: str) -> str:
    """Actions of one prefix. `changing`: what is asked of a user who sits at the host and wants to change something."""
    actions = "".join(_action(prefix, permission, changing) for permission in permissions())
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE policyconfig PUBLIC "-//freedesktop//DTD PolicyKit Policy Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/PolicyKit/1.0/policyconfig.dtd">
<policyconfig>
{VENDOR}{actions}</policyconfig>
"""


def _action(prefix: str, permission: Permission, changing: str) -> str:
    anyone, here = ("yes", "yes") if reads(permission) else ("no", changing)
    what = escape(f"{permission.verb} of a {permission.object}")
    return f"""  <action id="{prefix}.{permission}">
    <description>Virtual machines: {what}</description>
    <message>Virtual machines: {what}</message>
    <defaults>
      <allow_any>{anyone}</allow_any>
      <allow_inactive>{anyone}</allow_inactive>
      <allow_active>{here}</allow_active>
    </defaults>
  </action>
"""


def polkit_rules(group: str) -> str:
    return f"""// Members of the managing group may do all. A rule in a file that sorts before this one decides first.
polkit.addRule(function(action, subject) {{
    if ((action.id.indexOf("{OURS}.") == 0 || action.id.indexOf("{LIBVIRTS}.") == 0) && subject.isInGroup("{group}")) {{
        return polkit.Result.YES;
    }}
}});
"""


def _registered(place: Place, prefix: str) -> bool:
    """Whether a file of somebody else tells polkit of these actions."""
    folder = place.root / ACTIONS
    mine = {"org.frontinus1.policy", "org.frontinus1.libvirt.policy"}
    return any(f'"{prefix}.' in file.read_text(errors="replace") for file in _policies(folder) if file.name not in mine)


def _policies(folder: Path) -> Iterator[Path]:
    return folder.glob("*.policy") if folder.is_dir() else iter(())


def write(file: File) -> None:
    """Whole or not at all. Raises OSError."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(file.path, file.text.encode(), mode=READABLE)


def install(place: Place, *, dry_run: bool, yes: bool, ask: Callable[[str], str] = input) -> int:
    """The exit code: 0 done or nothing to do, 1 refused or failed."""
    every = files(place)
    if dry_run:
        for file in every:
            sys.stdout.write(f"# {file.path}: {file.purpose}\n{file.text}\n")
        return 0
    todo = [file for file in every if file.state != "same"]
    if not todo:
        sys.stdout.write("Everything is installed already.\n")
        return 0
    for file in todo:
        sys.stdout.write(f"{file.state:8} {file.path}: {file.purpose}\n")
    if not yes and not _agreed(len(todo), ask):
        sys.stdout.write("Nothing was written.\n")
        return 1
    return _write_all(todo)


def _agreed(count: int, ask: Callable[[str], str]) -> bool:
    if not sys.stdin.isatty() and ask is input:
        sys.stderr.write("frontinus: nobody is there to ask; --yes writes without asking, --dry-run only shows\n")
        return False
    return ask(f"Write these {count} files? [y/N] ").strip().lower() in ("y", "yes")


def _write_all(todo: Sequence[File]) -> int:
    for file in todo:
        try:
            write(file)
        except OSError as error:
            sys.stderr.write(f"frontinus: cannot write {file.path}: {error.strerror}\n")
            return 1
    sys.stdout.write("Written. Now, as root: systemd-sysusers; systemctl daemon-reload; systemctl reload dbus; "
                     "systemctl enable --now frontinusd\n")  # fmt: skip
    return 0
