"""What a guest's user wants of the probe: taken for granted, left out of account, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.custom_capabilities import (
    COMMANDS,
    OPTIONS,
    PROPERTIES,
    SCHEMA,
    SETTLED,
    TABLES,
    TYPES,
    customized,
)
from frontinus.domain.definition import parse_guest
from frontinus.domain.passthrough import QemuCapabilities
from frontinus.domain.prepare import prepare
from frontinus.qemu.plan import launch_plan
from support.guests import document, host, qemu72

RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
WISH = (
    "<qemu:capabilities xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
    "<qemu:{} capability='{}'/></qemu:capabilities>"
)
NAMES = sorted(set().union(*TABLES))


def facts(caps: Capabilities, name: str) -> Iterator[bool]:
    """Whether each of the facts is there that a name stands for."""
    yield from (caps.has_type(one) for one in TYPES.get(name, ()))
    yield from (caps.has_property(*one) for one in PROPERTIES.get(name, ()))
    yield from (caps.has_schema(one) for one in SCHEMA.get(name, ()))
    yield from (caps.has_command(one) for one in COMMANDS.get(name, ()))
    yield from (caps.has_option(*one) for one in OPTIONS.get(name, ()))


@pytest.mark.parametrize("name", NAMES)
def test_each_is_there_or_not_as_the_user_wants(name: str) -> None:
    caps = qemu72()
    assert all(facts(customized(caps, QemuCapabilities(add=[name])), name))
    assert not any(facts(customized(caps, QemuCapabilities(remove=[name])), name))
    others = {other: list(facts(caps, other)) for other in NAMES if not set(_words(other)) & set(_words(name))}
    changed = customized(caps, QemuCapabilities(remove=[name]))
    assert {other: list(facts(changed, other)) for other in others} == others


def _words(name: str) -> list[object]:
    return [one for table in TABLES for one in table.get(name, ())]


def test_what_nothing_depends_on_is_refused() -> None:
    with pytest.raises(Unsupported, match="nothing here depends on 'telepathy'"):
        customized(qemu72(), QemuCapabilities(remove=["telepathy"]))
    assert not SETTLED & set(NAMES)
    assert customized(qemu72(), QemuCapabilities(add=[*SETTLED])) == qemu72()


@pytest.mark.parametrize(
    ("verb", "name", "option", "words"),
    [
        ("del", "device.json+hotplug", "-device", "virtio-rng-pci,"),
        ("add", "device.json+hotplug", "-device", '{"driver":"virtio-rng-pci"'),
        ("del", "object.qapified", "-object", "rng-random,"),
        ("del", "seccomp-sandbox", "-sandbox", ""),
    ],
)
def test_the_command_line_follows(verb: str, name: str, option: str, words: str) -> None:
    text = document(RNG, more=WISH.format(verb, name))
    guest = complete(parse_guest(text), qemu72(), host())
    caps = customized(qemu72(), guest.qemu_capabilities)
    argv = launch_plan(prepare(guest, caps, host(), guest_id=1), caps, host()).argv
    said = [word for before, word in pairwise(argv) if before == option]
    assert any(word.startswith(words) for word in said) if words else not said


async def test_a_definition_waits_for_an_engine_that_knows_a_name(engine: Engine) -> None:
    await engine.define(document(more=WISH.format("del", "telepathy")))
    with pytest.raises(Unsupported, match="telepathy"):
        await engine.start("test")
