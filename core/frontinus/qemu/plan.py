"""The pure half of the hypervisor port: a completed guest becomes a launch plan."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.check.guest import check_start
from frontinus.domain.firmware import with_firmware
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import LaunchPlan
from frontinus.qemu.argv import FAMILIES
from frontinus.qemu.argv.context import Context, write
from frontinus.qemu.argv.overrides import override
from frontinus.qemu.argv.secrets import Sealer, placeholder
from frontinus.qemu.limits import limits, rights

JSON_PROOFS = {
    "device": "device_add/feature:json-cli-hotplug",
    "object": "object-add/arg-type/qom-type=secret",
    "netdev": "netdev_add/arg-type/type=dgram",
}
"""What in a schema proves that an option takes JSON as QMP does: a feature, or what came with it."""
ALWAYS_JSON = frozenset({"blockdev", "audiodev"})


def json_options(caps: Capabilities) -> frozenset[str]:
    """The options that this QEMU takes as JSON."""
    return ALWAYS_JSON | {option for option, proof in JSON_PROOFS.items() if caps.has_schema(proof)}


def launch_plan(guest: Guest, caps: Capabilities, host: HostFacts, *, incoming: bool = False,
                seal: Sealer = placeholder, master_key: bytes | None = None) -> LaunchPlan:  # fmt: skip
    """Translate a completed guest. `seal` looks up and encrypts secrets; without it the plan shows placeholders.

    Raises Unsupported for what this QEMU cannot do.
    """
    reasons = list(check_start(guest, caps, host))
    if reasons:
        raise Unsupported("; ".join(reasons))
    guest = with_firmware(guest, caps, host)
    folder = host.paths.guest(guest.id if guest.id is not None else -1, guest.name)
    ctx = Context(guest, caps, host, folder, incoming, seal=seal, master_key=master_key)
    for build in FAMILIES:
        build(ctx)
    items = override(ctx.items, guest.override)
    argv = (guest.devices.emulator or caps.emulator, *write(items, json_options(caps)))
    agent = next((c for c in guest.devices.channels if c.is_agent and c.type == "unix"), None)
    return LaunchPlan(
        argv, environment(folder) | ctx.env | chosen(guest), tuple(ctx.resources), folder,
        f"{folder}/monitor.sock", agent=agent.end.path if agent else None, agent_device=agent.alias if agent else None,
        log=f"{host.paths.log}/guests/{guest.name}.log", monitor_commands=tuple(ctx.commands),
        limits=limits(guest, ctx.resources), rights=rights(guest),
    )  # fmt: skip


def environment(folder: str) -> dict[str, str]:
    """The whole environment of QEMU: nothing of the engine's own gets through."""
    return {
        "LC_ALL": "C",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": folder,
        "USER": "frontinus",
        "LOGNAME": "frontinus",
        "XDG_DATA_HOME": f"{folder}/.local/share",
        "XDG_CACHE_HOME": f"{folder}/.cache",
        "XDG_CONFIG_HOME": f"{folder}/.config",
    }


def chosen(guest: Guest) -> dict[str, str]:
    """Variables that the user adds."""
    variables = guest.commandline.environment if guest.commandline else []
    return {variable.name: variable.value or "" for variable in variables}
