"""What `frontinus install-service` writes, and that it asks first."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from frontinus.api.permissions import PERMISSIONS
from frontinus.client.install import Place, files, install
from frontinus.client.main import main

PROGRAMS = Path("/opt/frontinus/bin")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, PROGRAMS)


def text(place: Place, name: str) -> str:
    (found,) = (file.text for file in files(place) if file.path.name == name)
    return found


def test_it_asks_and_writes_nothing_without_a_yes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def no(question: str) -> str:
        asked.append(question)
        return ""

    assert install(place, dry_run=False, yes=False, ask=no) == 1
    assert len(asked) == 1 and "Write these" in asked[0] and list(place.root.iterdir()) == []
    assert "frontinusd.service" in capsys.readouterr().out


def test_with_nobody_to_ask_it_writes_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-service", "--root", str(place.root)]) == 1
    assert list(place.root.iterdir()) == [] and "--yes" in capsys.readouterr().err


def test_a_dry_run_prints(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-service", "--root", str(place.root), "--programs", str(PROGRAMS), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert list(place.root.iterdir()) == []
    assert all(str(file.path) in printed and file.text in printed for file in files(place))


def test_it_writes_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(place, dry_run=False, yes=False, ask=lambda _: "y") == 0
    for file in files(place):
        assert file.path.read_text() == file.text and file.path.stat().st_mode & 0o777 == 0o644
    capsys.readouterr()
    assert install(place, dry_run=False, yes=False) == 0
    assert capsys.readouterr().out == "Everything is installed already.\n"
    unit = place.root / "etc/systemd/system/frontinusd.service"
    unit.write_text("another")
    assert install(place, dry_run=False, yes=True) == 0
    assert f"changed  {unit}" in capsys.readouterr().out and f"ExecStart={PROGRAMS}/frontinusd" in unit.read_text()


def test_every_permission_is_an_action_of_both_names(place: Place) -> None:
    wanted = {str(permission) for permission in PERMISSIONS.values()} | {"domain.read-secure"}
    for name, prefix in (
        ("org.frontinus1.policy", "org.frontinus1.api."),
        ("org.frontinus1.libvirt.policy", "org.libvirt.api."),
    ):
        actions = etree.fromstring(text(place, name).encode()).findall("action")
        assert {action.get("id").removeprefix(prefix) for action in actions} == wanted
        allowed = {action.get("id").removeprefix(prefix): action.findtext("defaults/allow_any") for action in actions}
        assert allowed["domain.getattr"] == allowed["connect.search-domains"] == "yes"
        assert {
            allowed[name] for name in ("domain.start", "domain.read-secure", "domain.write", "secret.read-secure")
        } == {"no"}


def test_libvirts_own_actions_are_left_to_it(place: Place) -> None:
    folder = place.root / "usr/share/polkit-1/actions"
    folder.mkdir(parents=True)
    (folder / "org.libvirt.api.policy").write_text(
        '<policyconfig><action id="org.libvirt.api.domain.start"/></policyconfig>'
    )
    assert "org.frontinus1.libvirt.policy" not in {file.path.name for file in files(place)}


def test_the_bus_lets_us_own_and_everybody_call(place: Place) -> None:
    root = etree.fromstring(text(place, "org.frontinus1.conf").encode())
    owners = {
        policy.get("user") for policy in root.findall("policy[@user]") if policy.findall("allow[@own='org.libvirt']")
    }
    assert owners == {"root", "frontinus", "frontinus-dbus"}
    called = [allow.get("send_destination") for allow in root.findall("policy[@context='default']/allow")]
    assert called == ["org.libvirt", "org.frontinus1"]


def test_the_manual_and_completion_are_those_that_the_program_prints(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, words in (("frontinus.1", ["manual"]), ("frontinus", ["completion", "bash"])):
        assert main(words) == 0
        assert text(place, name) == capsys.readouterr().out and "net-list" in text(place, name).replace("\\-", "-")


def test_a_file_that_cannot_be_written_is_told(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.root / "etc").write_text("no folder")
    assert install(place, dry_run=False, yes=True) == 1
    assert "cannot write" in capsys.readouterr().err
