"""Build a small real guest: Debian's kernel, taken from its package, and a busybox initrd made on the spot.

Nothing is installed: apt-get downloads the packages (and checks their signatures), and they are unpacked in a cache
folder. The result is named after a digest of all its inputs, so a second call only finds it.

    python3 tools/guest_image.py            prints the paths of kernel and initrd

What the guest does is chosen on its kernel command line; see tools/guest/init.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = HERE / "guest"  # copied into the root of the initrd as they are; "modules" names the kernel modules
AGENT_PACKAGES = "qemu-guest-agent libc6 libglib2.0-0 libpcre2-8-0 libudev1 liburing2 libnuma1"
READY = "frontinus-guest: ready"  # printed on every console once the guest is up


class GuestImageError(Exception):
    """The image could not be built; the message says which step failed and what its program said."""


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What QEMU's -kernel and -initrd take."""

    kernel: Path
    initrd: Path

    def copy_to(self, folder: Path) -> GuestImage:
        """A copy that every user can read who can pass the folder, whatever checkout and umask are like."""
        copy = GuestImage(folder / "vmlinuz", folder / "initrd.gz")
        for source, target in ((self.kernel, copy.kernel), (self.initrd, copy.initrd)):
            shutil.copyfile(source, target)
            target.chmod(0o644)
        return copy

    def cmdline(self, job: str = "idle", **options: str) -> str:
        """A kernel command line: quiet, console on the first serial port, doing `job`; options become name=value.

        The kernel does not try whether its timer works: where the emulator gets too little time, it finds that it does not.
        """
        words = {"console": "ttyS0", "panic": "-1", "job": job, **options}
        return " ".join(["quiet", "no_timer_check", *(f"{name}={value}" for name, value in words.items())])


def default_cache() -> Path:
    """.cache/guest of the checkout, or $XDG_CACHE_HOME/frontinus/guest where that is set."""
    root = os.environ.get("XDG_CACHE_HOME")
    return Path(root) / "frontinus/guest" if root else HERE.parent / ".cache/guest"


def build(cache_dir: Path | None = None, flavour: str = "cloud-amd64", *, agent: bool = False) -> GuestImage:
    """Return the image for a Debian kernel flavour ("cloud-amd64", "amd64"), building what is not in the cache yet.

    With agent, QEMU's guest agent is in it and serves the port org.qemu.guest_agent.0. Raises GuestImageError.
    """
    cache = (cache_dir or default_cache()).resolve()
    debs = cache / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    others = ["busybox-static", *(AGENT_PACKAGES.split() if agent else [])]
    packages = [_kernel(debs, flavour), *_packages(debs, others)]
    target = cache / f"{flavour}{'-agent' if agent else ''}-{_digest(packages)}"
    if not target.is_dir():
        _build_into(target, packages)
    return GuestImage(target / "vmlinuz", target / "initrd.gz")


def _digest(debs: Iterable[Path]) -> str:
    """A short digest of everything that the image is made from."""
    total = hashlib.sha256()
    for deb in debs:
        total.update(f"{deb.name} {deb.stat().st_size}\n".encode())
    for file in [Path(__file__), *sorted(FILES.iterdir())]:
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:16]


def _build_into(target: Path, packages: Iterable[Path]) -> None:
    """Build beside the target and rename, so that two builders at once do no harm."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as name:
        work = Path(name)
        for deb in packages:
            _run("dpkg-deb", "-x", str(deb), str(work / "tree"))
        out = work / "out"
        out.mkdir()
        shutil.copyfile(next((work / "tree/boot").glob("vmlinuz-*")), out / "vmlinuz")
        archive = cpio(_entries(work / "tree"))
        (out / "initrd.gz").write_bytes(gzip.compress(archive, compresslevel=1, mtime=0))
        try:
            out.rename(target)
        except OSError:
            if not target.is_dir():  # else another builder was first, with the same content
                raise


# --- the initrd's content


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a cpio archive: path without leading slash, st_mode, content (a link's target for a link)."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def _entries(tree: Path) -> Iterator[Entry]:
    for folder in ("bin", "dev", "etc", "lib", "lib/modules", "mnt", "proc", "root", "run", "sys", "tmp"):
        yield Entry(folder, stat.S_IFDIR | 0o755)
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))  # the kernel opens it before /init mounts /dev
    busybox = next(path for path in (tree / "bin/busybox", tree / "usr/bin/busybox") if path.exists())
    yield Entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    for applet in _run(str(busybox), "--list").split():
        if applet != "busybox":
            yield Entry(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")
    for file in sorted(FILES.iterdir()):
        yield Entry(file.name, stat.S_IFREG | 0o755, file.read_bytes())
    agent = list(_agent(tree))
    yield from agent
    order = []
    wanted = [line for line in (FILES / "modules").read_text().splitlines() if line and line[0] != "#"]
    wanted += ["ext4"] if agent else []  # a file system of a disk's, to tell of
    for name, content in module_closure(tree, wanted):
        order.append(name)
        yield Entry(f"lib/modules/{name}.ko", stat.S_IFREG | 0o644, content)
    yield Entry("etc/modules", stat.S_IFREG | 0o644, "".join(f"{name}\n" for name in order).encode())


def _agent(tree: Path) -> Iterator[Entry]:
    """QEMU's guest agent, if its package is there, with its libraries in the loader's default folder."""
    program, loader = tree / "usr/sbin/qemu-ga", tree / "lib64/ld-linux-x86-64.so.2"
    if not program.exists():
        return
    yield Entry("lib64", stat.S_IFDIR | 0o755)
    yield Entry(
        "lib64/" + loader.name, stat.S_IFREG | 0o755, (tree / "lib/x86_64-linux-gnu" / loader.name).read_bytes()
    )
    yield Entry("lib/x86_64-linux-gnu", stat.S_IFDIR | 0o755)
    yield Entry("bin/qemu-ga", stat.S_IFREG | 0o755, program.read_bytes())
    folders = [tree / folder / "x86_64-linux-gnu" for folder in ("lib", "usr/lib")]
    listed = _run(str(loader), "--library-path", ":".join(map(str, folders)), "--list", str(program))
    for library in re.findall(rf" => ({re.escape(str(tree))}\S+)", listed):
        yield Entry(f"lib/x86_64-linux-gnu/{Path(library).name}", stat.S_IFREG | 0o755, Path(library).read_bytes())


def module_closure(tree: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted modules of an unpacked kernel package and what they depend on, in an order that can be loaded."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in tree.rglob("*.ko*")}
    done: set[str] = set()

    def visit(name: str) -> Iterator[tuple[str, bytes]]:
        if name in done or name not in files:
            return
        done.add(name)
        content = _module(files[name])
        found = re.search(rb"\0depends=([^\0]*)\0", b"\0" + content)  # in the .modinfo section
        for needed in found[1].decode().split(",") if found else []:
            yield from visit(needed.replace("-", "_"))
        yield name, content

    for name in wanted:
        yield from visit(name.replace("-", "_"))


def _module(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def cpio(entries: Iterable[Entry]) -> bytes:
    """A "newc" archive (kernel Documentation/driver-api/early-userspace/buffer-format.rst), no time stamps in it."""
    parts: list[bytes] = []
    for number, entry in enumerate([*entries, Entry("TRAILER!!!", 0)], start=1):
        name = entry.path.encode() + b"\0"
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
        parts += [_padded(head), _padded(entry.data)]
    return b"".join(parts)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# --- Debian packages


def _kernel(debs: Path, flavour: str) -> Path:
    """The newest kernel package in the cache; only where there is none, apt is asked for today's."""
    if found := sorted(debs.glob(f"linux-image-*[0-9]-{flavour}_*.deb")):
        return found[-1]
    return _packages(debs, [_kernel_package(flavour)])[0]


def _packages(debs: Path, names: Sequence[str]) -> list[Path]:
    """The packages' .deb files in the cache; those that it has not are downloaded first."""
    if missing := [name for name in names if not any(debs.glob(f"{name}_*.deb"))]:
        with tempfile.TemporaryDirectory(dir=debs, prefix="get-") as folder:
            # as root, apt would download as its own user, who may not reach our folder
            _run("apt-get", "download", "-o", "APT::Sandbox::User=root", *missing, cwd=Path(folder))
            for deb in Path(folder).glob("*.deb"):
                deb.rename(debs / deb.name)
    return [max(debs.glob(f"{name}_*.deb")) for name in names]


def _kernel_package(flavour: str) -> str:
    """The versioned package that Debian's linux-image-FLAVOUR stands for today."""
    try:
        shown = _run("apt-cache", "show", "--no-all-versions", f"linux-image-{flavour}")
    except GuestImageError:  # no package lists yet, as on a fresh machine
        sudo = () if os.geteuid() == 0 or not shutil.which("sudo") else ("sudo", "-n")
        _run(*sudo, "apt-get", "update")
        shown = _run("apt-cache", "show", "--no-all-versions", f"linux-image-{flavour}")
    found = re.search(r"^Depends:.*?(linux-image-[^ ,]+)", shown, re.MULTILINE)
    if not found:
        raise GuestImageError(f"linux-image-{flavour} names no kernel package")
    return found[1]


def _run(*argv: str, cwd: Path | None = None) -> str:
    """Run a program; GuestImageError with its last words if it fails or is missing."""
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise GuestImageError(f"{argv[0]} is not installed") from error
    if done.returncode:
        raise GuestImageError(f"{' '.join(argv)} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def main() -> None:
    """Print the paths, one a line."""
    parser = argparse.ArgumentParser(description="Build the kernel and initrd of the small test guest.")
    parser.add_argument("--cache", type=Path, help="folder to keep packages and images in")
    parser.add_argument("--flavour", default="cloud-amd64", help="Debian kernel flavour (default: cloud-amd64)")
    parser.add_argument("--agent", action="store_true", help="put QEMU's guest agent into it")
    arguments = parser.parse_args()
    image = build(arguments.cache, arguments.flavour, agent=arguments.agent)
    print(image.kernel, image.initrd, sep="\n")


if __name__ == "__main__":
    main()
