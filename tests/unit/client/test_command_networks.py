"""The commands on networks, in virsh's words, each against an engine that only remembers how it was called."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, cast

import pytest

from frontinus.api.engine import Engine
from frontinus.api.networks import AddressView, InterfaceAddresses, LeaseView, NetworkPortView, NetworkView
from frontinus.client.commands import load
from frontinus.client.commands.base import Output

UUID = "5d744f21-ba4a-4d6e-bdb2-30a35ff3207d"
VIEW = NetworkView(uuid=UUID, name="lab", active=True, bridge="virbr0", forward="nat")
PORT = NetworkPortView(uuid="p1", network=UUID, owner_uuid=UUID, owner_name="g", mac="m", plug="network", link="vnet0")
LEASE = LeaseView(
    network=UUID, interface="virbr0", family="ipv4", address="10.7.7.7", prefix=24, mac="52:54:00:00:00:0a"
)
ADDRESSES = (AddressView(family="ipv4", address="10.7.7.7", prefix=24),
             AddressView(family="ipv6", address="fe80::1", prefix=64))  # fmt: skip
ANSWERS: dict[str, object] = {
    "networks": [VIEW], "network": VIEW, "network_xml": "<network/>", "define_network": VIEW, "create_network": VIEW,
    "start_network": VIEW, "network_port_xml": "<networkport/>", "network_leases": [LEASE], "network_ports": [PORT],
    "create_network_port": PORT,
    "guest_addresses": [InterfaceAddresses(name="vnet0", mac="52:54:00:00:00:0a", addresses=ADDRESSES)],
}  # fmt: skip


class Remembers:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        async def call(*args: object, **kwargs: object) -> object:
            self.calls.append((name, *args, kwargs))
            return ANSWERS.get(name)

        return call


async def run(capsys: pytest.CaptureFixture[str], *words: str, json: bool = False) -> tuple[str, list[tuple[Any, ...]]]:
    command = load("networks")[words[0]]
    parser = argparse.ArgumentParser()
    for argument in command.arguments:
        parser.add_argument(*argument.names, **argument.options)
    engine = Remembers()
    assert command.run is not None
    await command.run(cast(Engine, engine), parser.parse_args(words[1:]), Output(json=json))
    return capsys.readouterr().out, engine.calls


async def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    out, calls = await run(capsys, "net-list")
    assert out.splitlines()[0].split() == ["Name", "State", "Autostart", "Persistent"]
    assert out.splitlines()[2].split() == ["lab", "active", "no", "yes"]
    assert calls == [("networks", True, {})]
    assert (await run(capsys, "net-list", "--all", "--name"))[0] == "lab\n"
    assert (await run(capsys, "net-list", "--transient", "--name"))[0] == ""
    assert json.loads((await run(capsys, "net-list", json=True))[0])[0]["bridge"] == "virbr0"
    assert ["Bridge:", "virbr0"] in [line.split() for line in (await run(capsys, "net-info", "lab"))[0].splitlines()]


async def test_leases_ports_and_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    out, calls = await run(capsys, "net-dhcp-leases", "lab", "--mac", "52:54:00:00:00:0a")
    assert "never" in out and "10.7.7.7/24" in out
    assert calls == [("network_leases", "lab", "52:54:00:00:00:0a", {})]
    assert "vnet0" in (await run(capsys, "net-port-list", "lab"))[0]
    assert (await run(capsys, "net-port-list", "lab", "--uuid"))[0] == "p1\n"
    out, calls = await run(capsys, "domifaddr", "g", "--source", "agent")
    assert calls == [("guest_addresses", "g", "agent", {})]
    assert [line.split() for line in out.splitlines()[2:4]] == [
        ["vnet0", "52:54:00:00:00:0a", "ipv4", "10.7.7.7/24"], ["-", "-", "ipv6", "fe80::1/64"]]  # fmt: skip
    assert (await run(capsys, "domifaddr", "g", "--full"))[0].count("vnet0") == 2


async def test_updates_take_text_or_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "host.xml"
    file.write_text("<host/>")
    out, calls = await run(capsys, "net-update", "lab", "add", "ip-dhcp-host", "<host/>", "--live", "--config")
    assert calls == [
        ("update_network", "lab", "add-last", "ip-dhcp-host", "<host/>", -1, {"live": True, "config": True})
    ]
    assert out == "Updated network lab persistent config and live state\n"
    assert (await run(capsys, "net-update", "lab", "delete", "dns-txt", str(file), "--parent-index", "2"))[1] == [
        ("update_network", "lab", "delete", "dns-txt", "<host/>", 2, {"live": False, "config": False})]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "method", "text"),
    [
        ("net-define FILE", "define_network", "defined"), ("net-create FILE", "create_network", "created"),
        ("net-undefine lab", "undefine_network", "undefined"), ("net-start lab", "start_network", "started"),
        ("net-destroy lab", "destroy_network", "destroyed"), ("net-uuid lab", "network", UUID),
        ("net-name lab", "network", "lab"), ("net-dumpxml lab", "network_xml", "<network/>"),
        ("net-autostart lab --disable", "set_network_autostart", "unmarked"),
        ("net-port-dumpxml lab p1", "network_port_xml", "<networkport/>"),
        ("net-port-create lab FILE", "create_network_port", "p1"),
        ("net-port-delete lab p1", "delete_network_port", "deleted"),
    ],
)  # fmt: skip
async def test_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str, method: str, text: str
) -> None:
    file = tmp_path / "a.xml"
    file.write_text("<x/>")
    out, calls = await run(capsys, *words.replace("FILE", str(file)).split())
    assert text in out
    assert [call[0] for call in calls] == [method]


async def test_editing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.delenv("VISUAL", raising=False)
    assert "not changed" in (await run(capsys, "net-edit", "lab"))[0]
    monkeypatch.setenv("EDITOR", "sed -i s/network/networks/")
    out, calls = await run(capsys, "net-edit", "lab")
    assert [call[:2] for call in calls] == [("network_xml", "lab"), ("define_network", "<networks/>")]
    assert "edited" in out
