"""Build the lab's VM: a Debian with a whole kernel, for what the kernel under the tests lacks. Needs root.

    python3 tools/lab_image.py              prints the path of its folder: vmlinuz, initrd.gz, root.ext4

mmdebstrap fetches the packages and checks their signatures. Some minutes and 300 MB to download once; then it is kept in
.cache/lab, named after a digest of all its inputs. No service runs in it by itself: a test starts what it needs.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from guest_image import Entry, cpio, module_closure

SUITE = "bookworm"
PYTHON = (3, 11)
"""The suite's Python: the packages of a checkout's .venv are used in the VM as they are, so theirs must be the same."""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
HERE = Path(__file__).resolve().parent
FILES = HERE / "lab_root"
SIZE = "4G"  # of the root file system, sparse
MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "9p", "9pnet_virtio")
"""What the initrd loads: the root file system's, and the share's."""

PACKAGES = {
    "linux-image-amd64": "the kernel, with all its modules",
    "systemd-sysv": "services, cgroups",
    "dbus": "systemd's bus",
    "udev": "names of devices",
    "kmod": "modprobe",
    "busybox-static": "the initrd",
    "python3": "runs the tests",
    "iproute2": "links",
    "pciutils": "lspci",
    "fdisk": "sfdisk: partition tables",
    "dosfstools": "mkfs.vfat",
    "xfsprogs": "mkfs.xfs",
    "attr": "setfattr",
    "nftables": "packet filters",
    "lvm2": "logical volumes",
    "thin-provisioning-tools": "thin pools",
    "multipath-tools": "multipathd",
    "kpartx": "partitions of its maps",
    "open-iscsi": "iscsiadm, iscsid",
    "tgt": "an iSCSI target",
    "nfs-kernel-server": "an NFS server",
    "nfs-common": "mount.nfs, showmount",
    "samba": "an SMB server",
    "cifs-utils": "mount.cifs",
    "glusterfs-server": "a Gluster server",
    "glusterfs-client": "mount.glusterfs",
    "fcoe-utils": "Fibre Channel over Ethernet",
    "cryptsetup-bin": "judges encrypted volumes",
    "qemu-system-x86": "guests inside",
    "qemu-utils": "qemu-img",
    "qemu-block-extra": "its drivers for iSCSI and the like",
}
"""What is in it, and why."""


class LabImageError(Exception):
    """The image could not be built; the message says which step failed and what its program said."""


def default_cache() -> Path:
    """.cache/lab of the checkout, or $XDG_CACHE_HOME/frontinus/lab where that is set."""
    root = os.environ.get("XDG_CACHE_HOME")
    return Path(root) / "frontinus/lab" if root else HERE.parent / ".cache/lab"


def build(cache: Path | None = None) -> Path:
    """The folder with vmlinuz, initrd.gz and root.ext4, built if it is not in the cache yet. Raises LabImageError."""
    folder = (cache or default_cache()).resolve()
    target = folder / _digest()
    if target.is_dir():
        return target
    if os.geteuid():
        raise LabImageError("building the lab's VM needs root")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as name:
        root, out = Path(name, "root"), Path(name, "out")
        out.mkdir()
        _install(root)
        _furnish(root)
        shutil.copyfile(next((root / "boot").glob("vmlinuz-*")), out / "vmlinuz")
        (out / "initrd.gz").write_bytes(gzip.compress(cpio(_initrd(root)), compresslevel=1, mtime=0))
        _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(out / "root.ext4"), SIZE)
        try:
            out.rename(target)
        except OSError:
            if not target.is_dir():  # else another builder was first
                raise
    return target


def _digest() -> str:
    """A short digest of everything that the image is made from, but for the day's versions of the packages."""
    total = hashlib.sha256()
    for file in [Path(__file__), *sorted(FILES.iterdir())]:
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:16]


def _install(root: Path) -> None:
    """Install the packages; without documentation, without an initrd of theirs."""
    waste = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    options = ["--variant=apt", '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io", *waste]
    include = f"--include={','.join(PACKAGES)}"
    environment = {**os.environ, "INITRD": "No", "DEBIAN_FRONTEND": "noninteractive"}
    _run("mmdebstrap", *options, f"--keyring={KEYRING}", include, SUITE, str(root), environment=environment)


def _furnish(root: Path) -> None:
    """Put the job's unit into it, and take every other service out of the boot."""
    for file, place, mode in (
        ("lab-job", "usr/local/sbin", 0o755),
        ("lab-job.service", "etc/systemd/system", 0o644),
    ):
        (root / place).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FILES / file, root / place / file)
        (root / place / file).chmod(mode)
    for waste in ("var/cache/apt/archives", "var/lib/apt/lists", *(f"etc/rc{level}.d" for level in "0123456S")):
        shutil.rmtree(root / waste, ignore_errors=True)
    (root / "etc/hostname").write_text("lab\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost lab\n")
    (root / "etc/fstab").write_text("")
    (root / "etc/machine-id").write_text("6c61620000004000800000000000000a\n")  # a first boot would enable services
    preset = root / "etc/systemd/system-preset/00-lab.preset"
    preset.parent.mkdir(parents=True, exist_ok=True)
    preset.write_text("enable lab-job.service\ndisable *\n")
    _run("chroot", str(root), "systemctl", "preset-all")


def _initrd(root: Path) -> Iterator[Entry]:
    for folder in ("bin", "dev", "etc", "lib", "lib/modules", "mnt", "proc"):
        yield Entry(folder, stat.S_IFDIR | 0o755)
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))  # the kernel opens it before /init mounts /dev
    yield Entry("bin/busybox", stat.S_IFREG | 0o755, (root / "bin/busybox").read_bytes())
    yield Entry("init", stat.S_IFREG | 0o755, (FILES / "init").read_bytes())
    order = []
    for name, content in module_closure(root / "lib/modules", MODULES):
        order.append(name)
        yield Entry(f"lib/modules/{name}.ko", stat.S_IFREG | 0o644, content)
    yield Entry("etc/modules", stat.S_IFREG | 0o644, "".join(f"{name}\n" for name in order).encode())


def _run(*argv: str, environment: dict[str, str] | None = None) -> None:
    """Run a program; LabImageError with its last words if it fails or is missing."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, env=environment
        )
    except FileNotFoundError as error:
        raise LabImageError(f"{argv[0]} is not installed") from error
    if done.returncode:
        raise LabImageError(f"{' '.join(argv)} failed: {(done.stderr or done.stdout).strip()[-500:]}")


def main() -> None:
    """Print the path of the image's folder."""
    parser = argparse.ArgumentParser(description="Build the VM of tests/lab.")
    parser.add_argument("--cache", type=Path, help="folder to keep it in")
    print(build(parser.parse_args().cache))


if __name__ == "__main__":
    main()
