"""The small test guest boots on a bare QEMU and obeys ACPI: what every other system test builds on."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from guest_image import READY, GuestImage

DEADLINE = 300.0  # seconds; the boot takes 3 to 5 on an idle machine


def start(image: GuestImage, folder: Path, machine: str, job: str) -> subprocess.Popen[bytes]:
    argv = ["qemu-system-x86_64", "-machine", machine, "-accel", "tcg", "-cpu", "max", "-m", "128"]
    argv += ["-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{folder / 'console'}"]
    argv += ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", image.cmdline(job)]
    argv += ["-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL)


def wait_for_console(folder: Path, text: str) -> None:
    until = time.monotonic() + DEADLINE
    while text not in (folder / "console").read_text(errors="replace"):
        assert time.monotonic() < until, f"no {text!r} on the console within {DEADLINE:.0f} s"
        time.sleep(0.05)


def power_button(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(DEADLINE)
        monitor.connect(str(folder / "qmp"))
        answers = monitor.makefile()
        answers.readline()  # the greeting
        for command in ("qmp_capabilities", "system_powerdown"):
            monitor.sendall(json.dumps({"execute": command}).encode())
            while "return" not in json.loads(answers.readline()):
                pass  # an event may come before the answer


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_guest_boots_and_obeys_the_power_button(guest_image: GuestImage, tmp_path: Path, machine: str) -> None:
    (tmp_path / "console").touch()
    guest = start(guest_image, tmp_path, machine, "idle")
    try:
        wait_for_console(tmp_path, READY)
        power_button(tmp_path)
        assert guest.wait(DEADLINE) == 0
    finally:
        guest.kill()
        guest.wait()
    assert "Power down" in (tmp_path / "console").read_text(errors="replace"), "QEMU ended without the guest's doing"


def test_guest_panics_on_demand(guest_image: GuestImage, tmp_path: Path) -> None:
    (tmp_path / "console").touch()
    guest = start(guest_image, tmp_path, "q35", "panic")
    try:
        wait_for_console(tmp_path, "Kernel panic")
    finally:
        guest.kill()
        guest.wait()
