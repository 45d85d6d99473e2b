"""Make a checkout ready to run: install what is missing and nothing else. Stdlib only, for it is what runs first.

    python3 tools/bootstrap.py [lint|test|run|ci]

Debian packages are installed by apt (as root or with sudo), Python packages into .venv beside the sources. Where the
purpose can live without a missing package (tests are skipped then), it says so and goes on; else it stops.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from progress import step

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
STAMP = VENV / "frontinus-installed"  # digest of what the last complete installation was made from

# What is needed from Debian, why, and the first purpose that needs it: each purpose includes those before it.
PACKAGES = {
    "qemu-system-x86": ("the hypervisor", "run"),
    "qemu-utils": ("qemu-img makes and inspects disk images", "run"),
    "seabios": ("BIOS of the guests", "run"),
    "iproute2": ("ip, to look at what was set up", "run"),
    "dbus-daemon": ("a message bus of the demo's own", "run"),
    "dbus-bin": ("dbus-send, to ask what is on it", "run"),
    "snmp": ("snmpwalk, to ask the SNMP agent", "run"),
    "ovmf": ("UEFI firmware", "test"),
    "swtpm": ("TPM of the guests", "test"),
    "swtpm-tools": ("swtpm_setup prepares TPMs", "test"),
    "fdisk": ("sfdisk writes partition tables of storage pools", "test"),
    "nftables": ("packet filters, NAT", "run"),
    "dnsmasq-base": ("DHCP and DNS of virtual networks", "run"),
    "tgt": ("an iSCSI target in user space, for pools of type iscsi-direct", "ci"),
    "qemu-block-extra": ("QEMU's drivers for iSCSI and NFS", "ci"),
    "nfs-ganesha-vfs": ("an NFS server in user space, for pools of type netfs", "ci"),
    "rpcbind": ("where that server is found", "ci"),
    "nfs-common": ("showmount, which asks it", "ci"),
    "libfuse3-3": ("the file system of tests that loses what was not fsynced", "ci"),
    "xfsprogs": ("mkfs.xfs, for clones that share blocks", "ci"),
    "btrfs-progs": ("mkfs.btrfs, the same", "ci"),
    "e2fsprogs": ("mke2fs, for a guest's file system", "ci"),
    "cryptsetup-bin": ("cryptsetup, which judges encrypted volumes", "ci"),
    "acl": ("setfacl and getfacl, which judge access control lists", "ci"),
    "openssl": ("certificates for tests of TLS", "ci"),
    "gnutls-bin": ("certtool, which makes certificates that QEMU takes", "ci"),
    "systemd": ("busctl, which judges the D-Bus service", "ci"),
    "polkitd": ("decides who may do what, where an administrator asks for it", "ci"),
    "python3-dbus": ("a client in another language binding, untyped", "ci"),
    "libglib2.0-bin": ("gdbus, which judges it too", "ci"),
    "prometheus": ("promtool and Prometheus, which judge the exporter", "ci"),
    "snmpd": ("the master agent that the SNMP subagent joins", "ci"),
    "monitoring-plugins-standard": ("check_snmp, which judges the SNMP agent", "ci"),
    "prometheus-snmp-exporter": ("judges it too", "ci"),
    "snmptrapd": ("receives the SNMP agent's notifications", "ci"),
    "sblim-wbemcli": ("wbemcli, which judges the CIM provider", "ci"),
    "mmdebstrap": ("unpacks other releases of QEMU, to compare guests on", "ci"),
    "collectd-core": ("collectd, which loads the plugin for it", "ci"),
    "libmicrohttpd12": ("collectd's own way out to Prometheus", "ci"),
    "libprotobuf-c1": ("the same", "ci"),
    "munin-node": ("munin-run, which judges the plugin for munin", "ci"),
    "nbdkit": ("reaches disks on SSH servers by a key file", "ci"),
    "openssh-server": ("such a server", "ci"),
    "smitools": ("smilint, which judges MIB modules", "ci"),
}
PURPOSES = ("lint", "run", "test", "ci")  # in the order of what they need
CAN_DO_WITHOUT = ("lint", "test")  # goes on without Debian packages that cannot be installed


class Failed(Exception):
    """A step that cannot be made up for; the message tells a person what to do."""


def main() -> int:
    """Bring everything up to date; 0 when the purpose can be pursued."""
    parser = argparse.ArgumentParser(
        description="Install what is missing for a purpose, in this checkout's .venv and by apt."
    )
    parser.add_argument("purpose", nargs="?", choices=PURPOSES, default="test")
    purpose = parser.parse_args().purpose
    try:
        debian(purpose)
        python()
    except Failed as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    return 0


# --- Debian packages


def debian(purpose: str) -> None:
    """Install the missing packages of a purpose."""
    wanted = [name for name, (_, first) in PACKAGES.items() if PURPOSES.index(first) <= PURPOSES.index(purpose)]
    missing = _missing(wanted)
    if not missing:
        return
    names = " ".join(missing)
    for name in missing:
        print(f"        needs {name}: {PACKAGES[name][0]}", file=sys.stderr)
    try:
        prefix = _as_root()
        _run("Reading the package lists", [*prefix, "apt-get", "-qq", "update"])
        install = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=600", "install", "--no-install-recommends"]
        _run(f"Installing {names}", [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", *install, *missing])
    except Failed as error:
        if purpose not in CAN_DO_WITHOUT:
            raise Failed(f"{error}\nInstall by hand: apt-get install {names}") from error
        print(f"bootstrap: {error}\nbootstrap: going on without {names}", file=sys.stderr)


def _missing(wanted: list[str]) -> list[str]:
    """Those of the wanted packages that dpkg does not hold as installed."""
    if not wanted:
        return []
    try:
        argv = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted]
        shown = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return [name for name in wanted if not shutil.which(name)]
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def _as_root() -> list[str]:
    """What to put before a command that needs root."""
    if not shutil.which("apt-get"):
        raise Failed("this is no Debian: there is no apt-get to install packages with")
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        interactive = sys.stdin is not None and sys.stdin.isatty()
        if subprocess.run(["sudo", "-v" if interactive else "-nv"], check=False).returncode == 0:
            return ["sudo"]
    raise Failed("packages are missing, and neither root nor a working sudo is there to install them")


# --- the virtual environment


def python() -> None:
    """Create .venv and install the project with all extras into it, if pyproject.toml changed since the last time."""
    digest = _digest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == digest:
        return
    if not PYTHON.exists():
        # Without pip, for a minimal Debian has none to put in; this Python's own pip installs into it from outside.
        _run("Creating .venv", [sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)])
    install = [*_pip(), "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[all,dev]"]
    _run("Installing Python packages into .venv", install)
    STAMP.write_text(digest)


def _digest() -> str:
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + bytes(ROOT)).hexdigest()


def _pip() -> list[str]:
    """The command of a pip that installs into .venv."""
    if (VENV / "bin/pip").exists():
        return [str(PYTHON), "-m", "pip"]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    if importlib.util.find_spec("ensurepip"):
        _run("Installing pip into .venv", [str(PYTHON), "-m", "ensurepip"])
        return [str(PYTHON), "-m", "pip"]
    raise Failed("this Python has no pip. Install it: apt-get install python3-pip")


def _run(title: str, argv: list[str]) -> None:
    """Run one long step, showing its progress; Failed with its last words."""
    with tempfile.TemporaryFile("w+") as output:
        try:
            with step(title):
                subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True, cwd=ROOT)
        except subprocess.CalledProcessError as error:
            output.seek(0)
            raise Failed(f"{' '.join(argv)} failed:\n{output.read()[-2000:].rstrip()}") from error


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
