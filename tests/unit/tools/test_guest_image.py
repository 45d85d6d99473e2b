"""The initrd builder's own parts: the archive format and the order of kernel modules."""

from __future__ import annotations

import stat
from pathlib import Path

from guest_image import Entry, GuestImage, cpio, module_closure


def read_cpio(archive: bytes) -> list[tuple[str, int, bytes]]:
    """Path, mode and content of each member, read by the format's description rather than by our writer."""
    members, at = [], 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        at += -(-(110 + name_size) // 4) * 4
        if name == "TRAILER!!!":
            return members
        members.append((name, mode, archive[at : at + size]))
        at += -(-size // 4) * 4


def test_archive_holds_what_was_put_in() -> None:
    entries = [
        Entry("bin", stat.S_IFDIR | 0o755),
        Entry("bin/tool", stat.S_IFREG | 0o755, b"12345"),
        Entry("bin/alias", stat.S_IFLNK | 0o777, b"tool"),
    ]
    assert read_cpio(cpio(entries)) == [(entry.path, entry.mode, entry.data) for entry in entries]


def test_archive_is_the_same_each_time() -> None:
    assert cpio([Entry("a", stat.S_IFREG, b"x")]) == cpio([Entry("a", stat.S_IFREG, b"x")])


def module(tree: Path, name: str, depends: str) -> None:
    (tree / f"{name}.ko").write_bytes(b"\x7fELF\0depends=" + depends.encode() + b"\0name=" + name.encode() + b"\0")


def test_modules_come_after_what_they_depend_on(tmp_path: Path) -> None:
    module(tmp_path, "virtio-net", "net_failover,virtio")
    module(tmp_path, "net_failover", "failover")
    module(tmp_path, "failover", "")
    module(tmp_path, "virtio", "")
    module(tmp_path, "unwanted", "")
    names = [name for name, _ in module_closure(tmp_path, ["virtio_net", "virtio", "not-in-this-kernel"])]
    assert names == ["failover", "net_failover", "virtio", "virtio_net"]


def test_command_line_names_job_and_options() -> None:
    image = GuestImage(Path("vmlinuz"), Path("initrd.gz"))
    assert image.cmdline("load", net="dhcp") == "quiet no_timer_check console=ttyS0 panic=-1 job=load net=dhcp"
