"""The daemon's configuration file: what it says is taken, and a mistake is named."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from frontinus.api.errors import InvalidValue
from frontinus.daemon.adapters import Adapter, Supervisor
from frontinus.daemon.config import KINDS, Config, load
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import Paths

GUIDE = Path(__file__).parents[3] / "docs/guide.md"


def written(folder: Path, text: str) -> Path:
    file = folder / "frontinus.toml"
    file.write_text(text)
    return file


def test_what_a_file_says_is_taken(tmp_path: Path) -> None:
    config = load(written(tmp_path, 'uid_range = [70000, 70099]\nautostart = false\n[paths]\nrun = "/r"\n'))
    assert (config.uid_range, config.autostart, config.socket) == ((70000, 70099), False, Path("/r/frontinus.sock"))
    assert config.paths.state == Paths().state


def test_an_adapter_gets_its_arguments(tmp_path: Path) -> None:
    text = 'adapters = ["a", "b"]\n[adapter_arguments]\na = ["--listen", "127.0.0.1:1"]\n'
    supervisor = Supervisor(load(written(tmp_path, text), session=True))
    assert supervisor.command(Adapter("a", "module_a"))[-2:] == ["--listen", "127.0.0.1:1"]
    assert "--listen" not in supervisor.command(Adapter("b", "module_b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", "unknown field 'colour'"),
        ("group = 7", "'group' must be a group's name"),
        ('paths.run = "relative"', "'paths.run' must be"),
        ('[adapter_arguments]\na = "--listen"', "'adapter_arguments.a' must be a list of strings"),
        ('log_level = "LOUD"', "'log_level' must be one of DEBUG, "),
        ('log_format = "xml"', "'log_format' must be text or json"),
        ("uid_range = [70000]", "'uid_range' must be two user ids"),
        ("uid_range = [70000, 60000]", "'uid_range' must be two user ids"),
        ("guest_log_size = 100", "'guest_log_size' must be a number of bytes"),
        ("guest_log_backups = -1", "'guest_log_backups' must be"),
        ("adapters = [1]", "'adapters' must be a list of names"),
        ("= 1", "Invalid statement"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=re.escape(message)) as caught:
        load(written(tmp_path, text))
    assert str(tmp_path / "frontinus.toml") in caught.value.message


def test_every_field_can_be_set_and_the_guide_tells_of_it() -> None:
    settable = {field.name for field in fields(Config)} - {"session"}  # which is an option of the command
    assert set(KINDS) == settable
    assert set(re.findall(r"^\| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE)) >= settable


def test_the_guides_example_is_a_configuration(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    config = load(written(tmp_path, example))
    assert config.log_format == "json"
    assert config.paths.state == "/srv/frontinus"


def test_the_guides_first_guest_is_one() -> None:
    (example,) = re.findall(r"```xml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert parse_guest(example, validate=True).name == "web"
