"""Who may do what, and what is written down of it."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from frontinus import xml
from frontinus.api.engine import Descriptor, Engine
from frontinus.api.errors import (
    Denied,
    Unsupported,
    WrongState,
)
from frontinus.api.identity import Identity
from frontinus.api.permissions import MORE, PERMISSIONS, READ_SECURE, RUN_PROGRAM, Permission
from frontinus.domain.capabilities import Capabilities
from frontinus.engine.access import ByRole, Details
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT
from frontinus.wire.surface import names
from support.mocked import XML


async def test_readonly_sessions_cannot_write(local: LocalEngine) -> None:
    await local.session(ROOT).define(XML.format(name="a"))
    reader = local.session(Identity(uid=1000, gid=1000, readonly=True))
    assert len(await reader.guests()) == 1
    with pytest.raises(Denied):
        await reader.start("a")
    with pytest.raises(Denied):
        await reader.guest_xml("a", ["secure"])


async def test_every_write_is_audited(local: LocalEngine, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "frontinus.audit")
    view = await engine.define(XML.format(name="a"))
    await engine.guests()
    with pytest.raises(WrongState):
        await engine.destroy("a")
    with pytest.raises(Denied):
        await local.session(Identity(uid=7, gid=7, pid=9, readonly=True)).start("a")
    assert [record.message for record in caplog.records] == [
        "uid=0 pid=0 via=socket call=define guest=a uuid=- result=done",
        f"uid=0 pid=0 via=socket call=destroy guest=a uuid={view.uuid} result=wrong-state",
        f"uid=7 pid=9 via=socket call=start guest=a uuid={view.uuid} result=denied",
    ]


async def test_the_audit_log_names_what_is_no_guest(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "frontinus.audit"):
        view = await engine.define_network("<network><name>lab</name></network>")
        await engine.start_network("lab")
    assert [r.getMessage() for r in caplog.records][-1] == (
        f'uid=0 pid=0 via=socket call=start_network guest=- uuid=- network_name="lab" network_uuid="{view.uuid}" result=done'
    )


async def test_the_audit_trail_tells_starts_and_ends(local: LocalEngine, engine: Engine) -> None:
    disk = "<devices><disk type='file'><source file='/a.img'/><target dev='vda'/></disk></devices></domain>"
    await engine.create(XML.format(name="a").replace("</domain>", disk))
    await engine.destroy("a")
    records = local.world.audit.records  # type: ignore[attr-defined]
    assert records[0] == ("resource", "a", "disk start None->/a.img", True)
    assert [r[2] for r in records if r[0] == "control"] == ["start booted", "stop destroyed"]


async def test_who_only_watches_gets_no_secrets(local: LocalEngine, engine: Engine) -> None:
    display = "<devices><graphics type='vnc' passwd='a-sesame'/></devices></domain>"
    await engine.define(XML.format(name="a").replace("</domain>", display))
    definition = await engine.guest_xml("a", ["secure"])
    kept = f"<name>s</name><state>shutoff</state><creationTime>1</creationTime>{definition}"
    await engine.create_snapshot("a", f"<domainsnapshot>{kept}</domainsnapshot>", ["redefine"])
    assert "sesame" in await engine.snapshot_xml("a", "s", secure=True)
    watcher = local.session(Identity(uid=7, gid=7, readonly=True))
    assert "sesame" not in await watcher.guest_xml("a") + await watcher.snapshot_xml("a", "s")
    for ask in (watcher.guest_xml("a", ["secure"]), watcher.snapshot_xml("a", "s", secure=True)):
        with pytest.raises(Denied, match="read-secure"):
            await ask


def test_what_can_be_asked_for_secrets_takes_the_right_to_them() -> None:
    for name in names():
        hints = get_type_hints(getattr(Engine, name))
        flags = [get_args(part) for hint in hints.values() for part in (hint, *get_args(hint))]
        if "secure" in hints or any("secure" in values for values in flags):
            assert MORE[name].permission == READ_SECURE, name


def test_who_has_a_program_run_takes_the_right_to_that() -> None:
    for name in names():
        if not PERMISSIONS[name].write and "emulator" in get_type_hints(getattr(Engine, name)):
            assert MORE[name].permission == RUN_PROGRAM, name


async def test_who_only_watches_has_no_program_run(local: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    real = local.world.hypervisor.capabilities

    async def capabilities(emulator: str | None = None) -> Capabilities:
        asked.append(emulator)
        return await real(emulator)

    monkeypatch.setattr(local.world.hypervisor, "capabilities", capabilities)
    watcher = local.session(Identity(uid=7, gid=7, readonly=True))
    for ask in (watcher.domain_capabilities("/home/mallory/qemu"), watcher.compare_hypervisor_cpu("<cpu/>", "/home/mallory/qemu"),
                watcher.baseline_hypervisor_cpu(["<cpu/>"], emulator="/home/mallory/qemu")):  # fmt: skip
        with pytest.raises(Denied, match="connect.write"):
            await ask
    assert asked == []
    await watcher.domain_capabilities()
    assert asked == [None]


async def test_xml_of_who_may_not_write_is_not_read(local: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(text: object, tag: str = "") -> None:
        raise AssertionError("it was looked at")

    monkeypatch.setattr(xml, "document", read)
    watcher = local.session(Identity(uid=7, gid=7, readonly=True))
    for ask in (watcher.define("<domain/>"), watcher.create("<domain/>"), watcher.define_pool("<pool/>")):
        with pytest.raises(Denied):
            await ask


async def test_reading_secrets_is_audited(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    await engine.define(XML.format(name="a"))
    with caplog.at_level("INFO", "frontinus.audit"):
        await engine.guest_xml("a")
        assert not caplog.records
        await engine.guest_xml("a", ["secure"])
    assert [r.getMessage().split()[3] for r in caplog.records] == ["call=guest_xml"]


async def test_no_name_forges_a_field_of_the_audit_log(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    await engine.define(XML.format(name="a result=denied"))
    with caplog.at_level("INFO", "frontinus.audit"):
        await engine.set_autostart("a result=denied", True)
    (line,) = [r.getMessage() for r in caplog.records]
    assert 'guest="a result=denied" uuid=' in line


class KeepsSecrets(ByRole):
    """Everything is allowed but what secrets say."""

    async def allows(self, who: Identity, permission: Permission, details: Details) -> bool:
        return str(permission) != "secret.read-secure"


async def test_whatever_starts_a_guest_takes_the_right_to_its_secrets(local: LocalEngine, engine: Engine) -> None:
    await engine.define_secret("<secret><usage type='volume'><volume>/a</volume></usage></secret>")
    disk = """<disk type='file'><driver type='qcow2'/><source file='/a'><encryption format='luks'>
        <secret type='passphrase' usage='/a'/></encryption></source><target dev='vda'/></disk>"""
    xml = XML.format(name="a").replace("</domain>", f"<devices>{disk}</devices></domain>")
    await engine.define(xml)
    local.policy = KeepsSecrets()
    caller, other = local.session(ROOT), xml.replace("<name>a", "<name>b")
    starts = {
        "start": ("a",), "start_with": ("a",), "start_with_files": ("a", []), "create": (other,), "create_with": (other,),
        "create_with_files": (other, []),
    }  # fmt: skip
    of_starts = {name for name, needed in PERMISSIONS.items() if str(needed) == "domain.start"}
    assert set(starts) == of_starts - {"restore", "restore_with"}  # whose definition is in the saved state
    for name, arguments in starts.items():
        with pytest.raises(Denied, match=r"secret\.read-secure"):
            await getattr(caller, name)(*arguments)
    assert not (await engine.guest("a")).active


async def test_who_gives_descriptors_is_in_the_log(
    local: LocalEngine, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    view = await engine.define(XML.format(name="a"))
    caplog.set_level("INFO", "frontinus.audit")
    with pytest.raises(Unsupported):
        await engine.associate_descriptors("a", "g", [Descriptor(0)])
    with pytest.raises(Denied):
        await local.session(Identity(uid=7, gid=7, pid=9, readonly=True)).associate_descriptors(
            "a", "g", [Descriptor(0)]
        )
    assert [record.message for record in caplog.records] == [
        f"uid=0 pid=0 via=socket call=associate_descriptors guest=a uuid={view.uuid} result=unsupported",
        f"uid=7 pid=9 via=socket call=associate_descriptors guest=a uuid={view.uuid} result=denied",
    ]
