"""Commands that are typed one after the other, and the options before a command."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frontinus.client import completion, main
from frontinus.client.shell import candidates, commands_of
from frontinus.engine.guest.fdgroups import FdGroups
from support.shell import SERVING, Shell


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("list --all", [["list", "--all"]]),
        ("start a; suspend a;", [["start", "a"], ["suspend", "a"]]),
        ("desc a 'two words; one text'", [["desc", "a", "two words; one text"]]),
        ("  ;; # nothing", []),
        ("echo a;echo b", [["echo", "a"], ["echo", "b"]]),
    ],
)  # fmt: skip
def test_lines_become_commands(line: str, wanted: list[list[str]]) -> None:
    assert list(commands_of(line)) == wanted


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_commands_from_standard_input(
    socket: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    typed(monkeypatch, f"suspend test\ndomstate test\nnonsense\n\ncd {tmp_path}\npwd; domid nobody; echo unseen\necho 'last\n"
          "resume test; quit; echo unseen\n")  # fmt: skip
    monkeypatch.chdir("/")
    assert main.main(["--socket", str(socket)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"Guest 'test' suspended\npaused\n{tmp_path}\nGuest 'test' resumed\n"
    assert "unknown command: 'nonsense'" in captured.err and "no guest 'nobody'" in captured.err
    assert "No closing quotation" in captured.err


def test_the_last_command_says_how_it_ended(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "domstate test\ndomstate nobody\n")
    assert main.main(["--socket", str(socket)]) == 1


def test_wrong_usage_ends_nothing(
    socket: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "start\ndomstate test\n")
    assert main.main(["--socket", str(socket)]) == 0
    assert capsys.readouterr().out == "running\n"


def test_several_commands_in_one_word(shell: Shell) -> None:
    assert shell("domstate test; domname test") == "running\ntest\n"


def test_quiet_and_timing(shell: Shell) -> None:
    assert shell("-q", "suspend", "test") == ""
    assert [line.split()[1:] for line in shell("-q", "list").splitlines() if line] == [
        ["guest-00000", "running"],
        ["test", "paused"],
    ]
    assert "(Time: " in shell("-t", "domname", "test")


def test_connections_as_virsh_names_them(shell: Shell) -> None:
    assert "test" in shell("-c", "qemu:///system", "list")
    assert "'qemu+ssh://x/system' cannot be reached" in shell("--connect", "qemu+ssh://x/system", "list", code=1)


def test_what_tab_completes() -> None:
    assert "dominfo" in candidates("domi") and "--paused" in candidates("start web --p")
    assert candidates("nonsense x") == [] and "list" in candidates("list; li")


COMPLETED = """{script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_frontinus
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("frontinus domi", "domid domif-getlink domif-setlink domifaddr domiflist domifstat domiftune dominfo"),
        ("frontinus -c qemu:///system domid --d", ""),
        ("frontinus --socket /x start --by", "--bypass-cache"),
        ("frontinus help volu", "volume"),
        ("frontinus --tim", "--timing"),
        ("frontinus set-lifecycle-action web po", "poweroff"),
        ("frontinus domstate te", "test"),
        ("frontinus pool-info default", "default-pool"),
    ],
)
def test_what_bash_completes(socket: Path, tmp_path: Path, words: str, wanted: str) -> None:
    """Really, by bash; the names come from a `frontinus` on its path."""
    own = tmp_path / "frontinus"
    own.write_text(f'#!/bin/sh\nexec {sys.executable} -m frontinus.client.main --socket {socket} "$@"\n')
    own.chmod(0o755)
    text = COMPLETED.format(script=completion.script("bash"), words=" ".join(f"'{word}'" for word in words.split()))
    done = subprocess.run(["bash", "-c", text], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.strip() == wanted


def forgotten(groups: FdGroups) -> bool:
    """Whether no group is left; the engine's own thread may be closing one."""
    try:
        return not groups.modes()
    except (OSError, RuntimeError):  # one is closed already, or was taken out just now
        return False


def test_descriptors_are_the_guests_while_the_session_lasts(socket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = SERVING[socket].world.guests.find("test").fdgroups
    with Path("/dev/null").open() as one, Path("/dev/null").open("r+b") as other:
        fds = f"{one.fileno()},{other.fileno()}"
        with main.Caller(["--socket", str(socket)]) as caller:
            words = ["dom-fd-associate", "--domain", "test", "--name", "g", "--pass-fds", fds, "--seclabel-writable"]
            assert caller.perform(words) == 0
            assert caller.perform(["dom-fd-associate", "test", "h", str(one.fileno())]) == 0
            assert caller.perform(["domstate", "test"]) == 0
            assert groups.modes() == {"g": ["r", "rw"], "h": ["r"]}
            assert caller.perform(["dom-fd-associate", "test", "h", "9999"]) == 1
            assert caller.perform(["qemu-monitor-command", "test", "{}", "--pass-fds", fds]) == 0
            assert caller.perform(["destroy", "test"]) == caller.perform(["start", "test", "--pass-fds", fds]) == 0
            with pytest.raises(SystemExit):
                caller.perform(["start", "test", "--pass-fds", "three"])
    assert "not all open descriptors" in (said := capsys.readouterr().err) and "no list of descriptors" in said
    end = time.monotonic() + 60
    while not forgotten(groups):
        assert time.monotonic() < end
        time.sleep(0.01)
