"""Which ports displays get: none that a guest or anybody else on the host has."""

from __future__ import annotations

import socket

import pytest

from frontinus.domain.guest import Guest
from frontinus.engine.guest import displays
from frontinus.engine.guest.displays import DisplayPorts
from support.attachments import definition
from support.ports import free_port


@pytest.fixture(autouse=True)
def ports_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others on this host have displays too."""
    monkeypatch.setattr(displays, "FIRST_PORT", free_port())
    monkeypatch.setattr(displays, "LAST_PORT", 65535)


def showing(port: int) -> Guest:
    return definition(f"<graphics type='vnc' port='{port}'/>")


def test_a_port_that_somebody_has_is_not_given_out() -> None:
    first = DisplayPorts().take()
    assert first >= displays.FIRST_PORT
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        assert DisplayPorts().take() > first


def test_a_port_is_given_out_once_and_again_when_its_guest_is_gone() -> None:
    ports = DisplayPorts()
    first, second = ports.take(), ports.take()
    assert first < second
    ports.release(showing(first))
    assert ports.take() == first


def test_a_guest_that_was_found_running_keeps_its_port() -> None:
    ports, free = DisplayPorts(), DisplayPorts().take()
    ports.adopt(showing(free))
    assert ports.take() > free
