"""Run a job in the lab's VM (tools/lab_image.py): a Debian under TCG that sees this checkout, read-only, at the same path.

    python3 tools/lab.py -- CMD [ARG...]        prints what the command printed, ends with its exit code

A job is an argument vector. Its share is one folder of the host, /run/lab inside: whatever the job leaves there is its result.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lab_image

CHECKOUT = Path(__file__).resolve().parent.parent
SHARE = "/run/lab"
SITE = CHECKOUT / ".venv/lib" / f"python{lab_image.PYTHON[0]}.{lab_image.PYTHON[1]}" / "site-packages"
CMDLINE = "console=ttyS0 quiet panic=-1 systemd.show_status=0 random.trust_cpu=on mitigations=off audit=0"
EMULATOR = (
    "qemu-system-x86_64",
    "-nodefaults",
    "-display",
    "none",
    "-no-reboot",
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max",
)
WORDS = 4000


class LabError(Exception):
    """The VM did not do its job; the message has the last that it said."""


@dataclass(frozen=True)
class Machine:
    """What the VM has. `arguments` are more of QEMU's; `cmdline` more of the kernel's."""

    arguments: tuple[str, ...] = ()
    cmdline: str = ""
    machine: str = "q35"
    memory: int = 1536  # MiB
    cpus: int = 2


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its exit code, what it printed, wall seconds of the whole VM."""

    code: int
    log: str
    seconds: float


def run(job: Sequence[str], share: Path, deadline: float, machine: Machine | None = None) -> Outcome:
    """Boot, do the job, switch off. `deadline`: seconds for all of it; the VM is ended then. Raises LabError.

    `share`: an empty folder; afterwards it has what the job left, and `console` and `log`.
    """
    image = lab_image.build()
    (share / "job").write_text(script(job))
    started = time.monotonic()
    try:
        done = subprocess.run(
            argv(image, share, machine or Machine()),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LabError(f"the lab's VM did not end within {deadline:g} s: {last_words(share)}") from None
    if done.returncode or not (share / "exit").exists():
        raise LabError(f"the lab's VM did not do its job: {done.stderr.strip()}\n{last_words(share)}")
    return Outcome(int((share / "exit").read_text()), _text(share / "log"), time.monotonic() - started)


def argv(image: Path, share: Path, machine: Machine) -> list[str]:
    """QEMU's arguments. What the VM writes to its disk is gone with it."""
    return [
        *EMULATOR, "-machine", machine.machine, "-m", str(machine.memory), "-smp", str(machine.cpus),
        "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.gz"), "-append", f"{CMDLINE} {machine.cmdline}".strip(),
        "-drive", f"file={image / 'root.ext4'},format=raw,if=virtio,snapshot=on,discard=unmap",
        "-virtfs", f"local,path={share},mount_tag=lab,security_model=none,multidevs=remap",
        "-virtfs", f"local,path={CHECKOUT},mount_tag=checkout,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-rng-pci", "-serial", f"file:{share / 'console'}", *machine.arguments,
    ]  # fmt: skip


def script(job: Sequence[str]) -> str:
    """What the VM's own unit runs: the checkout with its packages at their place, and then the job."""
    folder, lines = shlex.quote(str(CHECKOUT)), (line for file in SITE.glob("*.pth") for line in file.open())
    path = ":".join([str(SITE), *(line.strip() for line in lines if line.startswith("/"))])
    return f"""mkdir -p {folder}
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro checkout {folder} || exit
cd {folder}
export PYTHONPATH={shlex.quote(path)} PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8 HOME=/root FRONTINUS_LAB=1
exec {shlex.join(job)}
"""


def last_words(share: Path) -> str:
    """The end of what the VM and the job said."""
    return "\n".join(f"{name}: {_text(share / name)[-WORDS:].strip()}" for name in ("console", "log"))


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def main() -> int:
    """Do one job; its exit code."""
    parser = argparse.ArgumentParser(description="Run a command in the lab's VM.")
    parser.add_argument("--deadline", type=float, default=600, help="seconds for all of it (default: 600)")
    parser.add_argument("--device", action="append", default=[], help="an argument of QEMU's -device")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    arguments = parser.parse_args()
    devices = tuple(word for device in arguments.device for word in ("-device", device))
    with tempfile.TemporaryDirectory(prefix="frontinus-lab-") as share:
        try:
            done = run(arguments.command, Path(share), arguments.deadline, Machine(devices))
        except (LabError, lab_image.LabImageError) as error:
            print(f"lab: {error}", file=sys.stderr)
            return 1
    print(done.log, end="")
    print(f"lab: ended with {done.code} after {done.seconds:.1f} s", file=sys.stderr)
    return done.code


if __name__ == "__main__":
    sys.exit(main())
