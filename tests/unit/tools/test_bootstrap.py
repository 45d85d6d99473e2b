"""The bootstrap installs what is missing and nothing else, and says what it cannot install."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import bootstrap


class Machine:
    """A Debian of stand-ins: dpkg-query knows the installed packages, apt-get writes down what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()

    def holds(self, *packages: str) -> None:
        self._program("dpkg-query", "".join(f"echo {name} installed\n" for name in packages))

    def apt(self, exit_code: int = 0) -> None:
        self._program("apt-get", f'echo "$@" >>{self.calls}; exit {exit_code}')

    def _program(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{machine.bin}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    return machine


def test_installs_only_what_is_missing(machine: Machine) -> None:
    machine.holds(*set(bootstrap.PACKAGES) - {"swtpm", "ovmf"})
    machine.apt()
    bootstrap.debian("test")
    assert machine.asked[0].endswith("update")
    assert machine.asked[1].split()[-2:] == ["ovmf", "swtpm"]


def test_does_nothing_when_all_is_there(machine: Machine) -> None:
    machine.holds(*bootstrap.PACKAGES)
    machine.apt()
    bootstrap.debian("ci")
    assert machine.asked == []


def test_lint_needs_no_debian_package(machine: Machine) -> None:
    machine.holds()
    machine.apt()
    bootstrap.debian("lint")
    assert machine.asked == []


def test_tests_go_on_without_what_cannot_be_installed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.holds()
    machine.apt(exit_code=100)
    bootstrap.debian("test")
    assert "going on without qemu-system-x86" in capsys.readouterr().err


@pytest.mark.parametrize("purpose", ["run", "ci"])
def test_others_stop_and_say_what_to_do(machine: Machine, purpose: str) -> None:
    machine.holds()
    machine.apt(exit_code=100)
    with pytest.raises(bootstrap.Failed, match="apt-get install qemu-system-x86"):
        bootstrap.debian(purpose)


def test_environment_is_installed_once_per_project_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for name, path in {"ROOT": ".", "VENV": ".venv", "PYTHON": ".venv/bin/python", "STAMP": ".venv/stamp"}.items():
        monkeypatch.setattr(bootstrap, name, tmp_path / path)
    monkeypatch.setattr(bootstrap, "_run", lambda title, argv: ran.append(title))
    monkeypatch.setattr(bootstrap, "_pip", lambda: ["pip"])
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    (tmp_path / "pyproject.toml").write_text("first")
    bootstrap.python()
    bootstrap.python()
    assert len(ran) == 1
    (tmp_path / "pyproject.toml").write_text("second")
    bootstrap.python()
    assert len(ran) == 2
