"""What frames the command line: name, secrets, monitor, clock, power, boot, sandbox, and the user's own arguments."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from frontinus.api.errors import Unsupported
from frontinus.domain.clock import Clock, Timer
from frontinus.domain.guest import Guest
from frontinus.domain.plan import Folder, Label, Listener, SecretFile
from frontinus.qemu.argv.context import Context, escape

KVM = "/dev/kvm"
MASTER_KEY = "masterKey0"
"""Id of the secret object that all others are encrypted with."""
TRACKS = {"guest": "vm", "wall": "host", "realtime": "rt"}
ACPI_SIGNATURES = {"slic": "SLIC", "msdm": "MSDM"}
FIPS_OF_ITSELF = "block-export-add"
"""Came with the release (5.2) from which on QEMU leaves to its libraries what may not be in FIPS mode."""
DEPRECATIONS = {"omit": ("hide", None), "reject": ("hide", "reject"), "crash": ("hide", "crash")}


def build_head(ctx: Context) -> None:
    """Emit what comes first: name, the stopped start, the master key."""
    ctx.text("name", f"guest={escape(ctx.guest.name)},debug-threads=on")
    ctx.flag("S")
    _deprecation(ctx)
    ctx.need(Folder(ctx.folder))
    if ctx.guest.type == "kvm":
        ctx.need(Label(KVM, shared=True))
    key = master_key_file(ctx.folder)
    ctx.need(SecretFile(key, ctx.master_key))
    ctx.props("object", {"qom-type": "secret", "id": MASTER_KEY, "format": "raw", "file": key})
    if ctx.host.fips and not ctx.caps.has_command(FIPS_OF_ITSELF):
        ctx.flag("enable-fips")


def master_key_file(folder: str) -> str:
    """Where the key is that a guest's secrets are encrypted with."""
    return f"{folder}/master-key.aes"


def build(ctx: Context) -> None:
    """Emit what describes no hardware of its own: monitor, clock, power management, boot."""
    ctx.flag("no-user-config")
    ctx.flag("nodefaults")
    _monitor(ctx)
    _clock(ctx)
    _power(ctx)
    _boot(ctx)


def build_tail(ctx: Context) -> None:
    """Emit what comes last: the sandbox, the form of messages, the user's own arguments."""
    if ctx.incoming:
        ctx.text("incoming", "defer")
    if ctx.caps.has_option("sandbox", "elevateprivileges"):
        deny = dict.fromkeys(("obsolete", "elevateprivileges", "spawn", "resourcecontrol"), "deny")
        ctx.props("sandbox", {"enable": True, **deny})
    features = ctx.guest.features
    if features is not None and features.async_teardown is not None:
        ctx.props("run-with", {"async-teardown": features.async_teardown})
    ctx.props("msg", {"timestamp": True})
    if ctx.guest.commandline is not None:
        for argument in ctx.guest.commandline.arguments:
            ctx.argument(argument)


def _deprecation(ctx: Context) -> None:
    """How QEMU treats deprecated interfaces, where the user says it and QEMU can."""
    wish = ctx.guest.deprecation
    if wish is None or wish.behavior == "none" or not ctx.caps.has_command("set-action"):  # both came with QEMU 6.0
        return
    output, accepted = DEPRECATIONS[wish.behavior]
    policy = {"deprecated-output": output, **({"deprecated-input": accepted} if accepted else {})}
    ctx.text("compat", json.dumps(policy, separators=(",", ":")))


def _monitor(ctx: Context) -> None:
    fd = ctx.fd()
    ctx.need(Listener(f"{ctx.folder}/monitor.sock", fd))
    ctx.props("chardev", {"backend": "socket", "id": "charmonitor", "fd": fd, "server": True, "wait": False})
    if ctx.caps.has_type("monitor-qmp"):
        ctx.props("object", {"qom-type": "monitor-qmp", "id": "monitor", "chardev": "charmonitor"})
    else:
        ctx.props("mon", {"chardev": "charmonitor", "id": "monitor", "mode": "control"})


def _clock(ctx: Context) -> None:
    clock = ctx.guest.clock or Clock(offset="utc")
    rtc = clock.timer("rtc")
    ctx.props("rtc", {
        "base": rtc_base(ctx, clock),
        "clock": TRACKS.get(rtc.track or "") if rtc else None,
        "driftfix": "slew" if rtc and rtc.tick_policy == "catchup" else None,
    })  # fmt: skip
    if clock.offset == "timezone" and clock.timezone:
        ctx.env["TZ"] = clock.timezone
    for timer in clock.timers:
        _timer(ctx, timer)


def rtc_base(ctx: Context, clock: Clock) -> str:
    """What -rtc base= says: utc, localtime, or the moment that the guest's clock starts at."""
    if clock.offset in ("localtime", "timezone"):
        return "localtime"
    if clock.offset == "absolute":
        return moment(datetime.fromtimestamp(clock.start or 0, UTC))
    if clock.offset == "variable":
        shift = int(clock.adjustment or 0) + (ctx.host.now().utc_offset if clock.basis == "localtime" else 0)
        return moment(datetime.fromtimestamp(ctx.host.time() + shift, UTC))
    return "utc"


def moment(time: datetime) -> str:
    """A moment of UTC in QEMU's form."""
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def _timer(ctx: Context, timer: Timer) -> None:
    """Timers that are devices; those of the CPU are with the CPU, the HPET with the machine where QEMU has it there."""
    if timer.name == "pit" and timer.tick_policy in (None, "delay", "discard"):
        if ctx.caps.has_property("kvm-pit", "lost_tick_policy"):
            ctx.text("global", f"kvm-pit.lost_tick_policy={timer.tick_policy or 'delay'}")
    elif timer.name == "hpet" and timer.present is False and not ctx.caps.has_option("machine", "hpet"):
        ctx.flag("no-hpet")


def _power(ctx: Context) -> None:
    ctx.flag("no-shutdown" if ctx.caps.has_command("set-action") or not exits_on_reboot(ctx.guest) else "no-reboot")
    if ctx.guest.on_reboot == "destroy" and ctx.caps.has_command("set-action"):
        ctx.command("set-action", reboot="shutdown")
    if not ctx.guest.acpi and not ctx.caps.has_schema("query-machines/ret-type/acpi"):
        ctx.flag("no-acpi")
    power = ctx.guest.power
    chip = "ICH9-LPC" if ctx.guest.is_q35 else "PIIX4_PM"
    for state, enabled in (("s3", power and power.suspend_to_mem), ("s4", power and power.suspend_to_disk)):
        if enabled is not None:
            if not ctx.caps.has_property(chip, f"disable_{state}"):
                raise Unsupported(f"<pm>: this QEMU cannot switch {state.upper()} on or off")
            ctx.text("global", f"{chip}.disable_{state}={int(not enabled)}")


def exits_on_reboot(guest: Guest) -> bool:
    """Whether a reboot ends the guest: every event of its life is to destroy it."""
    after_crash = guest.on_crash in ("destroy", "coredump-destroy", None)
    return (guest.on_reboot, guest.on_poweroff) == ("destroy", "destroy") and after_crash


def _boot(ctx: Context) -> None:
    os = ctx.guest.os
    ctx.props("boot", {
        "menu": os.boot_menu, "reboot-timeout": os.reboot_timeout,
        "splash-time": os.boot_menu_timeout if os.boot_menu else None, "strict": True,
    })  # fmt: skip
    for option, value in (("kernel", os.kernel), ("initrd", os.initrd), ("append", os.cmdline), ("shim", os.shim),
                          ("dtb", os.dtb)):  # fmt: skip
        if value:
            ctx.text(option, value)
    for table in os.acpi_tables:
        ctx.props("acpitable", {"sig": ACPI_SIGNATURES.get(table.type), "file": table.path})
