"""Other releases of QEMU beside the installed one: unpacked from Debian's suites, nothing is installed.

    python3 tools/releases.py [SUITE...]     prints the path of each emulator

mmdebstrap fetches the packages and checks their signatures; the suite's own dynamic loader and libraries run the binary.
About 80 MB to download and 15 s for each suite, twice that with the programs that run beside QEMU; then they are kept in
.cache/qemu.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

SUITES: Mapping[str, str] = {"bullseye": "5.2", "trixie": "10.0", "sid": "11.1"}
"""Debian's suites, and the release of QEMU that each has; that of sid moves."""
ROLLING = frozenset({"sid"})
"""Suites whose indexes expire within days: a mirror that lags behind is good enough for a test."""
PACKAGES = ("qemu-system-x86", "qemu-utils")
COMPANIONS = (
    "ovmf",
    "passt",
    "qemu-system-modules-opengl",
    "qemu-system-modules-spice",
    "swtpm",
    "swtpm-tools",
    "virtiofsd",
)
COMPANIED = frozenset({"trixie", "sid"})
"""Suites that are unpacked with the programs beside QEMU: newer than the installed ones."""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/swtpm")
LOADER = "ld-linux-x86-64.so.2"
DATA = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")
PROGRAMS = ("qemu-system-x86_64", "qemu-img")
BESIDE = ("passt", "swtpm", "swtpm_setup", "virtiofsd")
PLACES = ("usr/bin", "usr/libexec")
MADE_OF = "packages"
"""The file that names the packages of an unpacked suite: one that lacks some is unpacked anew."""
MODULES = b"/usr/lib/x86_64-linux-gnu/qemu\0", b"/nil/lib/x86_64-linux-gnu/qemu\0"
"""Where a binary also looks for modules, whatever QEMU_MODULE_DIR says: it would find those of the installed release,
complain, and abort. So the unpacked copy is told another place, of the same length."""


class ReleaseError(Exception):
    """A suite could not be unpacked; the message says which step failed and what its program said."""


def default_cache() -> Path:
    """.cache/qemu of the checkout, or $XDG_CACHE_HOME/frontinus/qemu where that is set."""
    root = os.environ.get("XDG_CACHE_HOME")
    return Path(root) / "frontinus/qemu" if root else Path(__file__).resolve().parent.parent / ".cache/qemu"


def cached(suite: str, cache: Path | None = None) -> Path | None:
    """The suite's emulator, if it is unpacked."""
    folder = (cache or default_cache()).resolve() / suite
    try:
        whole = (folder / MADE_OF).read_text() == ",".join(packages(suite))
    except FileNotFoundError:
        whole = False
    return folder / PROGRAMS[0] if whole else None


def packages(suite: str) -> tuple[str, ...]:
    """What is unpacked of a suite."""
    return PACKAGES + COMPANIONS if suite in COMPANIED else PACKAGES


def beside(emulator: Path, program: str) -> Path:
    """A suite's program that runs beside its emulator, or a file that its packages have."""
    return emulator.parent / program


def emulator(suite: str, cache: Path | None = None) -> Path:
    """The suite's emulator, unpacked first if need be: a program that runs as any other. Raises ReleaseError."""
    folder = (cache or default_cache()).resolve()
    if (found := cached(suite, folder)) is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="unpack-") as name:
        work = Path(name, suite)
        work.mkdir()
        _unpack(suite, work / "root")
        work.chmod(0o755)
        for program in PROGRAMS + (BESIDE if suite in COMPANIED else ()):
            _wrap(work / "root", folder / suite / "root", work / program)
        (work / MADE_OF).write_text(",".join(packages(suite)))
        shutil.rmtree(folder / suite, ignore_errors=True)  # one of other packages
        try:
            work.rename(folder / suite)
        except OSError:
            if cached(suite, folder) is None:  # else another was first
                raise
    return folder / suite / PROGRAMS[0]


def _unpack(suite: str, root: Path) -> None:
    """Extract the packages and all that they need; none of their scripts is run."""
    options = ['--aptopt=Acquire::Check-Valid-Until "false"'] if suite in ROLLING else []
    _run("mmdebstrap", "--variant=extract", f"--keyring={KEYRING}", f"--include={','.join(packages(suite))}", *options, suite,
         str(root))  # fmt: skip
    for program in PROGRAMS:
        binary = root / "usr/bin" / program
        binary.write_bytes(binary.read_bytes().replace(*MODULES))
    for waste in ("usr/share/doc", "usr/share/locale", "usr/share/man", "var"):
        shutil.rmtree(root / waste, ignore_errors=True)


def _wrap(unpacked: Path, root: Path, script: Path) -> None:
    """Write a program that runs a suite's own with the suite's loader, libraries, modules and firmware.

    Programs find each other by PATH: those of one suite belong together.
    """
    loader = next((f"{root}/{place}/{LOADER}" for place in LIBRARIES if (unpacked / place / LOADER).exists()), None)
    binary = next(
        (f"{root}/{place}/{script.name}" for place in PLACES if (unpacked / place / script.name).exists()), None
    )
    if loader is None or binary is None:
        raise ReleaseError(f"the packages have no {script.name}, or nothing to run it with")
    libraries = ":".join(f"{root}/{place}" for place in LIBRARIES)
    data = " ".join(f"-L '{root}/{place}'" for place in DATA) if script.name == PROGRAMS[0] else ""
    script.write_text(
        f"#!/bin/sh\nPATH='{root.parent}':\"$PATH\" QEMU_MODULE_DIR='{root}/{LIBRARIES[1]}/qemu' "
        f"exec '{loader}' --library-path '{libraries}' '{binary}' {data} \"$@\"\n"
    )
    script.chmod(0o755)


def _run(*argv: str) -> str:
    """Run a program; ReleaseError with its last words if it fails or is missing."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise ReleaseError(f"{argv[0]} is not installed") from error
    if done.returncode:
        raise ReleaseError(f"{' '.join(argv)} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def main() -> None:
    """Unpack what is asked for."""
    parser = argparse.ArgumentParser(description="Unpack other releases of QEMU from Debian's suites.")
    parser.add_argument("--cache", type=Path, help="folder to keep them in")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)} (default: all)")
    arguments = parser.parse_args()
    for suite in arguments.suites or SUITES:
        if suite not in SUITES:
            parser.error(f"unknown suite '{suite}'")
        print(emulator(suite, arguments.cache))


if __name__ == "__main__":
    main()
