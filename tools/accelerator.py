"""Whether KVM runs a guest here: a /dev/kvm that opens may still hang the guest's kernel, so one is booted to see."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from guest_image import READY, GuestImage

EMULATOR = "qemu-system-x86_64"
DEADLINE = 6.0  # seconds; where KVM works, the guest boots and powers itself off in about one
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def accelerator(image: GuestImage) -> str:
    """ "kvm" if it boots the image, else "tcg". Tried once per boot of the host; remembered beside the image."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    note = image.initrd.with_name("kvm-tried")
    boot = BOOT_ID.read_text().strip()
    remembered = note.read_text().split() if note.exists() else []
    if remembered[:1] != [boot]:
        remembered = [boot, "kvm" if _boots(image) else "tcg"]
        note.write_text(" ".join(remembered))
    return remembered[1]


def _boots(image: GuestImage) -> bool:
    argv = [EMULATOR, "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "128", "-nodefaults", "-no-user-config"]
    argv += ["-display", "none", "-no-reboot", "-serial", "stdio"]
    argv += ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    try:
        done = subprocess.run(
            [*argv, "-append", image.cmdline("poweroff")],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False
    return done.returncode == 0 and READY.encode() in done.stdout
