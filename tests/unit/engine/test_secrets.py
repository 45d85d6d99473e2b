"""Secrets: who is told a value, what is on disk, what a guest's start needs of them; and the seals themselves."""

from __future__ import annotations

import base64
import logging
import os
import resource
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from frontinus.api.engine import Engine
from frontinus.api.errors import AlreadyExists, Denied, InvalidXML, NoSuchSecret, StorageFailed, WrongState
from frontinus.api.events import SecretEvent
from frontinus.api.identity import Identity
from frontinus.api.permissions import PERMISSIONS, Permission
from frontinus.daemon.main import keep_out_of_cores
from frontinus.engine.access import ByRole
from frontinus.engine.local import LocalEngine
from frontinus.linux.keeper import CREDENTIAL, HostKeeper
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.store import MemoryStore
from frontinus.qemu.argv.secrets import encrypt

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
SECRET = f"<secret {{}}><uuid>{UUID}</uuid><usage type='volume'><volume>/v</volume></usage></secret>"
GUEST = """<domain type='qemu'><name>g</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/v'>
<encryption format='luks'><secret type='passphrase' usage='/v'/></encryption></source><target dev='vda' bus='virtio'/></disk>
</devices></domain>"""
VALUE = b"correct horse \x00\xff"


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    made = await mock_engine(fixture=False)
    yield made
    await made.stop()


@pytest.fixture
def session(engine: LocalEngine) -> Engine:
    return engine.session(ROOT)


async def test_a_value_is_kept_told_and_forgotten(session: Engine) -> None:
    made = await session.define_secret(SECRET.format(""))
    assert (made.usage_type, made.usage, made.has_value) == ("volume", "/v", False)
    with pytest.raises(WrongState):
        await session.secret_value(UUID)
    await session.set_secret_value(UUID, VALUE)
    assert await session.secret_value(UUID) == VALUE
    assert (await session.secret_by_usage("volume", "/v")).has_value
    await session.define_secret(SECRET.format("").replace("<usage", "<description>d</description><usage"))
    assert await session.secret_value(UUID) == VALUE  # a new definition keeps the value
    await session.undefine_secret(UUID)
    with pytest.raises(NoSuchSecret):
        await session.secret(UUID)


async def test_a_private_value_is_told_to_nobody(session: Engine) -> None:
    await session.define_secret(SECRET.format("private='yes'"))
    await session.set_secret_value(UUID, VALUE)
    with pytest.raises(Denied):
        await session.secret_value(UUID)
    with pytest.raises(InvalidXML, match="stays so"):
        await session.define_secret(SECRET.format("private='no'"))


async def test_an_ephemeral_value_is_never_stored(engine: LocalEngine, session: Engine) -> None:
    store = engine.world.store
    assert isinstance(store, MemoryStore)
    view = await session.define_secret(SECRET.format("ephemeral='yes'"))
    await session.set_secret_value(UUID, VALUE)
    assert view.protection == "memory"
    assert not store.documents["secrets"] and not store.documents["secret-values"]
    assert await session.secret_value(UUID) == VALUE


async def test_a_use_has_one_secret(session: Engine) -> None:
    await session.define_secret(SECRET.format(""))
    with pytest.raises(AlreadyExists):
        await session.define_secret(SECRET.format("").replace(UUID, UUID.replace("6695", "6696")))
    with pytest.raises(AlreadyExists):
        await session.define_secret(SECRET.format("").replace("/v<", "/w<"))


async def test_neither_news_nor_logs_have_a_value(session: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        stream = session.watch()
        await anext(stream)
        await session.define_secret(SECRET.format(""))
        await session.set_secret_value(UUID, b"hunter2hunter2")
        await session.secret_value(UUID)
        events = [await anext(stream) for _ in range(2)]
    kinds = [event.kind for event in events if isinstance(event, SecretEvent)]
    assert kinds == ["defined", "value-changed"]
    encoded = base64.b64encode(b"hunter2hunter2").decode()
    for text in (repr(events), caplog.text):
        assert "hunter2" not in text and encoded not in text


async def test_a_guest_starts_only_with_its_secret(session: Engine) -> None:
    await session.define(GUEST)
    with pytest.raises(NoSuchSecret):
        await session.start("g")
    await session.define_secret(SECRET.format("private='yes'"))
    with pytest.raises(WrongState):
        await session.start("g")
    await session.set_secret_value(UUID, VALUE)
    assert (await session.start("g")).active


class NotSecrets(ByRole):
    """A policy that grants everything but the values of secrets."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def allows(self, who: Identity, permission: Permission, details: Mapping[str, str]) -> bool:
        self.asked.append((str(permission), dict(details)))
        return permission != PERMISSIONS["secret_value"]


async def test_a_guest_starts_only_for_who_may_read_its_secret(engine: LocalEngine, session: Engine) -> None:
    await session.define(GUEST)
    await session.define_secret(SECRET.format(""))
    await session.set_secret_value(UUID, VALUE)
    policy = NotSecrets()
    bounded = LocalEngine(engine.world, policy).session(Identity(uid=1000, gid=1000))
    for call in (bounded.start("g"), bounded.create(GUEST.replace(">g<", ">h<"))):
        with pytest.raises(Denied):
            await call
    facts = policy.asked[-1][1]
    assert (facts["secret_uuid"], facts["secret_usage_type"], facts["secret_usage_target"]) == (UUID, "volume", "/v")
    assert not (await session.guest("g")).active


# --- seals


def test_a_keeper_opens_only_what_it_sealed_for_that_name(tmp_path: Path) -> None:
    keeper = HostKeeper(tmp_path)
    text = keeper.seal(UUID, VALUE)
    assert HostKeeper(tmp_path).unseal(UUID, text) == VALUE
    assert VALUE not in text.encode() and base64.b64encode(VALUE).decode() not in text
    assert (tmp_path / "secrets.key").stat().st_mode & 0o777 == 0o400
    other = "7" + UUID[1:]
    body = text.strip().removeprefix("1:")
    for name, bad in ((other, text), (UUID, "1:" + body[:-8] + "AAAAAAA="), (UUID, "2:" + body), (UUID, "nonsense")):
        with pytest.raises(StorageFailed):
            keeper.unseal(name, bad)
    (tmp_path / "secrets.key").unlink()
    with pytest.raises(StorageFailed):
        HostKeeper(tmp_path).unseal(UUID, text)


def test_a_credential_comes_before_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / CREDENTIAL).write_bytes(bytes(32))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    keeper = HostKeeper(tmp_path / "config")
    assert keeper.protection == "credential"
    assert keeper.unseal(UUID, keeper.seal(UUID, VALUE)) == VALUE
    (tmp_path / CREDENTIAL).write_bytes(b"short")
    with pytest.raises(StorageFailed, match="5 bytes"):
        HostKeeper(tmp_path / "config").seal(UUID, VALUE)


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_what_qemu_gets_opens_with_its_key(value: bytes) -> None:
    key = bytes(range(32))
    sealed = encrypt(key, value)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(base64.b64decode(sealed.iv))).decryptor()
    plain = decryptor.update(base64.b64decode(sealed.data)) + decryptor.finalize()
    assert plain[: -plain[-1]] == value


def _dumps_core(folder: Path, guard: bool) -> bool:
    """Whether a process of ours that aborts in this folder leaves a core file, by the kernel's own word."""
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        if guard:
            keep_out_of_cores()
        os.abort()
    return os.WCOREDUMP(os.waitpid(pid, 0)[1])


def test_the_daemon_leaves_no_core_file(tmp_path: Path) -> None:
    if not _dumps_core(tmp_path, guard=False):
        pytest.skip("this machine writes no core files at all")
    assert not _dumps_core(tmp_path, guard=True)
