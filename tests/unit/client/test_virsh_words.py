"""Every word of virsh and each of its options is here, or in the tables of what is lacking; and those say only what is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontinus.client.commands import commands, load
from frontinus.client.helping import CODES, GROUPS, unknown
from frontinus.client.main import main
from frontinus.client.virsh import LACKING, LACKING_OPTIONS
from frontinus.client.words import NAMES

DATA = Path(__file__).parents[2] / "data/virsh-words.txt"
VIRSH = {words[0]: set(words[1:]) for line in DATA.read_text().splitlines() if (words := line.split())}
"""Commands of virsh and their options; of those that came after libvirt 9.0 only the names."""
OURS = {
    name: {n.lstrip("-") for a in row.arguments for own in a.names for n in (own, *NAMES.get(own, ()))}
    for name, row in commands().items()
}


def test_every_command_is_here_or_said_to_be_lacking() -> None:
    assert len(VIRSH) > 270
    assert set(VIRSH) - set(OURS) == set(LACKING)


@pytest.mark.parametrize("name", sorted(set(VIRSH) & set(OURS)))
def test_every_option_is_here_or_said_to_be_lacking(name: str) -> None:
    assert VIRSH[name] - OURS[name] == set(LACKING_OPTIONS.get(name, {}))


def test_every_command_is_in_one_group() -> None:
    files = [file for group in GROUPS.values() for file in group.files]
    assert len(files) == len(set(files)) and {name for file in files for name in load(file)} == set(OURS)


def test_what_is_said_of_words_that_are_not_here() -> None:
    assert "migrated" in unknown("migrate")
    assert unknown("dominof").startswith("unknown command: 'dominof'; did you mean dominfo")
    assert unknown("xyzzy") == "unknown command: 'xyzzy'"


def test_an_option_that_is_lacking_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["domfstrim", "web", "--mountpoint=/"])
    assert "the agent trims all" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["help"], ["--help"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert all(f"    {name} " in out for name in OURS)
    assert main(["help", "volume"]) == 0
    assert "vol-list" in (out := capsys.readouterr().out) and "dominfo" not in out
    with pytest.raises(SystemExit) as left:
        main(["help", "start"])
    assert left.value.code == 0 and "--force-boot" in capsys.readouterr().out
    assert main(["help", "strat"]) == 1
    assert "start" in capsys.readouterr().err


def test_the_manual_page_has_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manual"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(".TH FRONTINUS 1") and all(f".B {name.replace('-', chr(92) + '-')}" in page for name in OURS)
    assert not any(line.startswith((".", "'")) and line.split()[0] not in MACROS for line in page.splitlines())


MACROS = {".TH", ".SH", ".TP", ".B", ".br"}


def test_the_page_says_what_the_tables_say() -> None:
    page = (DATA.parent.parent.parent / "docs/virsh.md").read_text()
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    commands_, options = page.index("## Commands"), page.index("## Options")
    rows = {
        word.strip("`"): cells[1]
        for cells in lines
        if len(cells) == 2 and cells[1] in LACKING.values()
        for word in cells[0].split()
    }
    assert rows == dict(LACKING) and commands_ < options
    said = {(c[0].strip("`"), word.strip("`-"), c[2]) for c in lines if len(c) == 3 for word in c[1].split()}
    assert said == {(name, option, why) for name, given in LACKING_OPTIONS.items() for option, why in given.items()}


def test_the_guide_has_the_exit_codes() -> None:
    guide = (DATA.parent.parent.parent / "docs/guide.md").read_text()
    assert all(f"| {code} | {text} |" in guide for code, text in CODES.items())
