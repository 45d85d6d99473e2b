"""A real guest on encrypted volumes of a pool: it starts only with its secrets, and nobody else gets to see them."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Denied, HypervisorFailed, NoSuchSecret, WrongState
from guest_image import GuestImage
from system.test_guest_life import Watcher, boot, expect, guest_xml
from trial import Daemon

MIB = 2**20
KEY = b"A-passphrase-that-nobody-else-uses:7261"
PATTERN = "what-the-guest-wrote"
SECRET = "<secret private='yes'><uuid>{uuid}</uuid><usage type='volume'><volume>{use}</volume></usage></secret>"
ENCRYPTION = "<encryption format='luks'><secret type='passphrase' uuid='{uuid}'/></encryption>"
UUIDS = ("6695eb01-f6a4-8304-79aa-97f2502e1930", "6695eb01-f6a4-8304-79aa-97f2502e1931")


def volume(name: str, kind: str, uuid: str) -> str:
    target = f"<target><format type='{kind}'/>{ENCRYPTION.format(uuid=uuid)}</target>"
    return f"<volume><name>{name}</name><capacity>{4 * MIB}</capacity><allocation>0</allocation>{target}</volume>"


def disk(name: str, kind: str, target: str, uuid: str) -> str:
    return (f"<disk type='volume' device='disk'><driver name='qemu' type='{kind}'/><source pool='p' volume='{name}'>"
            f"{ENCRYPTION.format(uuid=uuid)}</source><target dev='{target}' bus='virtio'/></disk>")  # fmt: skip


@pytest.mark.needs("root", "cryptsetup")
async def test_a_guest_runs_on_encrypted_volumes_only_with_their_secrets(
    daemon: Daemon, place: Path, guest_image: GuestImage
) -> None:
    async with daemon.engine() as engine:
        watcher = await Watcher(engine).ready()
        await engine.define_pool(f"<pool type='dir'><name>p</name><target><path>{place}/images</path></target></pool>")
        await engine.start_pool("p", build=[])
        await engine.define_secret(SECRET.format(uuid=UUIDS[0], use="one"))
        with pytest.raises(WrongState):  # it has no value yet
            await engine.create_volume("p", volume("one", "raw", UUIDS[0]))
        await engine.set_secret_value(UUIDS[0], KEY)
        await engine.define_secret(SECRET.format(uuid=UUIDS[1], use="two"))
        await engine.set_secret_value(UUIDS[1], KEY[::-1])
        made = [await engine.create_volume("p", volume("one", "raw", UUIDS[0])),
                await engine.create_volume("p", volume("two", "qcow2", UUIDS[1]))]  # fmt: skip
        assert [one.encrypted for one in made] == [True, True]
        assert [one.capacity for one in made] == [4 * MIB, 4 * MIB]
        _opens(Path(made[0].path), KEY)

        xml = guest_xml(place, guest_image)
        plain = xml[xml.index("<disk ") : xml.index("</disk>") + 7]
        await engine.define(xml.replace(plain, disk("one", "raw", "vda", UUIDS[0])))
        await _refused_without_the_right_secret(engine)

        await engine.start("real")
        await boot(engine, "real")
        await engine.attach_device("real", disk("two", "qcow2", "vdb", UUIDS[1]), live=True)
        for device in ("/dev/vda", "/dev/vdb"):
            write = f"while [ ! -b {device} ]; do usleep 100000; done; echo {PATTERN} | dd of={device} conv=fsync 2>/dev/null"
            say = f"\n{write}; head -c {len(PATTERN)} {device}; echo; echo all-$((40+2))-of{device}\n"
            await expect(engine, "real", f"{PATTERN}\r\nall-42-of{device}", say)
        for one in made:
            content = Path(one.path).read_bytes()
            assert PATTERN.encode() not in content and KEY not in content
        _nowhere(place, watcher)
        await engine.destroy("real")
        with pytest.raises(Denied):
            await engine.secret_value(UUIDS[0])
        watcher.close()


def _opens(path: Path, key: bytes) -> None:
    """By a tool that has nothing to do with QEMU."""
    command = ["cryptsetup", "open", "--test-passphrase", "--type", "luks1", "--key-file", "-", str(path)]
    subprocess.run(command, input=key, check=True)
    assert subprocess.run(command, input=b"wrong", check=False, capture_output=True).returncode != 0


async def _refused_without_the_right_secret(engine: Engine) -> None:
    await engine.undefine_secret(UUIDS[0])
    with pytest.raises(NoSuchSecret):
        await engine.start("real")
    await engine.define_secret(SECRET.format(uuid=UUIDS[0], use="one"))
    with pytest.raises(WrongState):
        await engine.start("real")
    await engine.set_secret_value(UUIDS[0], b"another passphrase")
    with pytest.raises(HypervisorFailed, match="[Ii]nvalid password"):
        await engine.start("real")
    await engine.set_secret_value(UUIDS[0], KEY)
    assert not (await engine.guest("real")).active


def _nowhere(place: Path, watcher: Watcher) -> None:
    """Neither key is in what processes show, in any file of the engine's, in its log, or in its news."""
    forms = [form for key in (KEY, KEY[::-1]) for form in (key, base64.b64encode(key), key.hex().encode())]
    shown = [
        subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, check=True).stdout,
        repr(watcher.seen).encode(),
    ]
    cores = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and str(place).encode() in _read(folder / "cmdline"):
            shown += [_read(folder / "cmdline"), _read(folder / "environ")]
            if b"qemu-system" in _read(folder / "cmdline"):
                cores += [line for line in _read(folder / "limits").decode().splitlines() if "core file" in line]
    shown += [_read(path) for path in place.rglob("*") if path.is_file() and path.name not in ("kernel", "initrd")]
    for text in shown:
        assert not [form for form in forms if form in text]
    assert cores and all(line.split()[4:6] == ["0", "0"] for line in cores)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.needs("root", "swtpm")
async def test_the_state_of_a_tpm_is_encrypted_by_its_secret(
    daemon: Daemon, place: Path, guest_image: GuestImage
) -> None:
    tpm = (
        f"<tpm model='tpm-crb'><backend type='emulator' version='2.0'><encryption secret='{UUIDS[0]}'/></backend></tpm>"
    )
    async with daemon.engine() as engine:
        watcher = await Watcher(engine).ready()
        await engine.define(guest_xml(place, guest_image, more=tpm))
        with pytest.raises(NoSuchSecret):
            await engine.start("real", paused=True)
        await engine.define_secret(f"<secret><uuid>{UUIDS[0]}</uuid><usage type='vtpm'><name>t</name></usage></secret>")
        await engine.set_secret_value(UUIDS[0], KEY)
        assert (await engine.start("real", paused=True)).active
        swtpm = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert any("swtpm socket" in line and str(place) in line and "pwdfd=" in line for line in swtpm.splitlines())
        _nowhere(place, watcher)
        await engine.destroy("real")
        watcher.close()


OPENED = "<encryption format='luks'><secret type='passphrase' uuid='{}'/></encryption>"


async def _secrets(engine: Engine, *keys: bytes) -> list[str]:
    made = []
    for number, key in enumerate(keys):
        use = f"<usage type='volume'><volume>key{number}</volume></usage>"
        made.append((await engine.define_secret(f"<secret>{use}</secret>")).uuid)
        await engine.set_secret_value(made[-1], key)
    return made


def _quick(folder: Path, name: str, kind: str, key: bytes, *more: str) -> Path:
    """An encrypted image with a key that is derived in no time, as a test makes many."""
    path, stem = folder / name, "encrypt." if kind == "qcow2" else ""
    (folder.parent / "key").write_bytes(key)
    options = [f"{stem}{word}" for word in ("key-secret=k", "iter-time=10")] + (["encrypt.format=luks"] if stem else [])
    secret = f"secret,id=k,file={folder.parent / 'key'}"
    command = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        kind,
        *more,
        "--object",
        secret,
        "-o",
        ",".join(options),
        str(path),
        "4M",
    ]
    while subprocess.run(command, check=False).returncode:  # where others keep it from measuring how quick this CPU is
        path.unlink(missing_ok=True)
    return path


def _opens_qcow2(path: Path, key: bytes) -> bool:
    (path.parent.parent / "key").write_bytes(key)
    graph = f"driver=qcow2,backing=,file.filename={path},encrypt.key-secret=k"
    secret = f"secret,id=k,file={path.parent.parent / 'key'}"
    command = ["qemu-io", "-r", "-U", "--object", secret, "--image-opts", graph, "-c", "read 0 512"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


async def _layered(engine: Engine, place: Path, image: GuestImage, uuids: list[str]) -> None:
    """A guest `real` on LUKS, and on LUKS in qcow2 over LUKS in qcow2; all opened by the first secret."""
    await engine.define_pool(f"<pool type='dir'><name>p</name><target><path>{place}/images</path></target></pool>")
    await engine.start_pool("p", build=[])
    folder, opened = place / "images", OPENED.format(uuids[0])
    _quick(folder, "one", "luks", KEY)
    base = _quick(folder, "base", "qcow2", KEY)
    top = _quick(folder, "top", "qcow2", KEY, "-u", "-b", str(base), "-F", "qcow2")
    below = (f"<backingStore type='file'><format type='qcow2'/><source file='{base}'>{opened}</source><backingStore/>"
             "</backingStore>")  # fmt: skip
    layered = (f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{top}'>{opened}</source>"
               f"{below}<target dev='vdb' bus='virtio'/></disk>")  # fmt: skip
    await engine.refresh_pool("p")
    xml = guest_xml(place, image)
    plain = xml[xml.index("<disk ") : xml.index("</disk>") + 7]
    await engine.define(xml.replace(plain, disk("one", "raw", "vda", uuids[0]) + layered))


async def _guest_reads(engine: Engine, turn: int) -> None:
    """What the guest wrote before is there, read from the disk and not from its memory."""
    for device in ("vda", "vdb"):
        read = f"echo 3 >/proc/sys/vm/drop_caches; head -c {len(PATTERN)} /dev/{device}; echo; echo turn-$(({turn}+0))-{device}"
        await expect(engine, "real", f"{PATTERN}\r\nturn-{turn}-{device}", f"\n{read}\n")


@pytest.mark.needs("root", "cryptsetup")
async def test_key_slots_are_rotated_while_the_guest_runs(daemon: Daemon, place: Path, guest_image: GuestImage) -> None:
    async with daemon.engine() as engine:
        uuids = await _secrets(engine, KEY, KEY[::-1])
        await _layered(engine, place, guest_image, uuids)
        one, top, base = (place / "images" / name for name in ("one", "top", "base"))
        await engine.start("real")
        await boot(engine, "real")
        for device in ("vda", "vdb"):
            write = (
                f"while [ ! -b /dev/{device} ]; do usleep 100000; done; echo {PATTERN} | dd of=/dev/{device} conv=fsync"
            )
            await expect(
                engine, "real", f"wrote-42-{device}", f"\n{write} 2>/dev/null; echo wrote-$((40+2))-{device}\n"
            )

        await engine.set_volume_secret("p", "one", uuids[1])
        await engine.set_volume_secret("p", "top", uuids[1])
        _opens(one, KEY[::-1])
        assert _opens_qcow2(top, KEY[::-1]) and not _opens_qcow2(top, KEY)
        with pytest.raises(WrongState, match="below disk 'vdb'"):
            await engine.set_volume_secret("p", "base", uuids[1])
        assert _opens_qcow2(base, KEY)
        await _guest_reads(engine, 1)
        await engine.set_volume_secret("p", "one", uuids[0])  # QEMU opens it by the new one for that
        _opens(one, KEY)
        for flags in ((), ("inactive",)):
            shown = await engine.guest_xml("real", flags)
            assert (shown.count(uuids[0]), shown.count(uuids[1])) == (2, 1)
        objects = await engine.monitor_command("real", '{"execute": "qom-list", "arguments": {"path": "/objects"}}')
        assert "added-secret" not in objects and "erased-secret" not in objects
        await engine.destroy("real")

        await engine.start("real")  # by what its definition says now
        await boot(engine, "real")
        await _guest_reads(engine, 2)
        await engine.destroy("real")
        os.setxattr(base, "trusted.frontinus.secret", f"uuid:{uuids[0]}".encode())
        await engine.refresh_pool("p")
        for name in ("one", "base"):
            await engine.resize_volume("p", name, 8 * MIB)
            assert (await engine.volume("p", name)).capacity == 8 * MIB
        _opens(one, KEY)
