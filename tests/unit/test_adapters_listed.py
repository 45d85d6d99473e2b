"""Every folder under adapters/ is known to the packager, the type checker, the style checker and the import contracts."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOL = PROJECT["tool"]


def folders() -> dict[str, str]:
    """The import package of each adapter by its folder, relative to the root."""
    found = {}
    for folder in sorted((ROOT / "adapters").iterdir()):
        for package in sorted(folder.glob("frontinus_*/__init__.py")):
            found[f"adapters/{folder.name}"] = package.parent.name
    return found


def under_adapters(paths: list[str]) -> set[str]:
    return {path for path in paths if path.startswith("adapters/")}


def test_there_is_an_adapter() -> None:
    assert folders()["adapters/prometheus"] == "frontinus_prometheus"


def test_it_is_packaged() -> None:
    build = TOOL["hatch"]["build"]
    assert under_adapters(build["dev-mode-dirs"]) == set(folders())
    packages = build["targets"]["wheel"]["packages"]
    assert under_adapters(packages) == {f"{folder}/{package}" for folder, package in folders().items()}


def test_it_is_checked() -> None:
    assert under_adapters(TOOL["ruff"]["src"]) == set(folders())
    assert under_adapters(TOOL["mypy"]["mypy_path"].split(":")) == set(folders())
    assert set(folders().values()) <= set(TOOL["mypy"]["packages"])


def test_it_is_kept_to_the_facade() -> None:
    lint = TOOL["importlinter"]
    assert set(folders().values()) <= set(lint["root_packages"])
    contract = next(c for c in lint["contracts"] if c["name"].startswith("Adapters see the facade"))
    assert set(contract["source_modules"]) == set(folders().values())


def test_its_extra_is_part_of_all() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    names = everything.removeprefix("frontinus[").removesuffix("]").split(",")
    assert set(names) == set(extras) - {"all", "dev"}


def test_its_entry_point_is_one_of_its_modules() -> None:
    points = PROJECT["project"]["entry-points"]["frontinus.adapters"]
    places = {package: folder for folder, package in folders().items()}
    for name, target in points.items():
        module, _, function = target.partition(":")
        assert function == "main", name
        package = module.partition(".")[0]
        assert (ROOT / places[package] / (module.replace(".", "/") + ".py")).exists(), f"{name}: there is no {module}"
