"""The JSON file that stands in for a host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frontinus.api.errors import InvalidValue
from frontinus.domain.host import Firmware, HostFacts, NumaNode
from frontinus.domain.hostfile import load_host

RIG = Path(__file__).parents[2] / "corpus/rig.json"


def written(folder: Path, said: object) -> str:
    path = folder / "host.json"
    path.write_text(said if isinstance(said, str) else json.dumps(said))
    return str(path)


def test_without_a_file_there_are_no_facts() -> None:
    assert load_host(None).nodes == () and load_host(None) == HostFacts()


def test_facts_have_the_types_of_the_model(tmp_path: Path) -> None:
    host = load_host(written(tmp_path, {
        "cpus": 4, "nodes": [{"id": 1, "cpus": [2, 3], "pages": {"4096": 7}}], "hugepages": {"2097152": "/huge"},
        "firmware": [{"file": "f", "interfaces": ["uefi"], "device": "flash", "executable": "/e", "targets": [["x86_64", "pc-*"]],
                      "features": ["secure-boot"]}],
        "paths": {"state": "/s"}, "kvm": True, "entropy": "counting", "time": 86400}))  # fmt: skip
    assert host.nodes == (NumaNode(1, cpus=(2, 3), pages={4096: 7}),)
    assert host.hugepages == {2097152: "/huge"} and host.paths.state == "/s" and host.paths.config == "/etc/frontinus"
    assert host.firmware == (Firmware("f", ("uefi",), "flash", "/e", targets=(("x86_64", "pc-*"),),
                                      features=frozenset({"secure-boot"})),)  # fmt: skip
    assert host.entropy(3) == b"\x00\x01\x02" and host.time() == 86400


@pytest.mark.parametrize(
    ("said", "field"),
    [({"cpu": 1}, "cpu"), ({"cpus": "many"}, "cpus"), ({"entropy": "dice"}, "entropy"), ([1], ""), ("{", "host")],
)
def test_what_is_not_understood_is_named(tmp_path: Path, said: object, field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        load_host(written(tmp_path, said))
    assert caught.value.details["field"] == field


def test_the_host_of_the_recorded_expectations() -> None:
    host = load_host(str(RIG))
    assert [node.id for node in host.nodes] == list(range(8)) and host.keep_machine_alias and host.kvm
    with pytest.raises(InvalidValue):
        load_host("/nowhere.json")
