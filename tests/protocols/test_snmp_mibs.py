"""The MIB modules: what managers load is what the agent answers, and smilint finds nothing in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontinus_snmp import mib
from frontinus_snmp.objects import MODULES
from support.snmp import base_modules, rig, run, v3

pytestmark = pytest.mark.needs("smilint", "snmptable", "snmptranslate")
MIBS = Path(__file__).parents[2] / "mibs"
WRITTEN = [module for module in MODULES if not module.external]


@pytest.mark.parametrize("name", [module.name for module in WRITTEN])
async def test_smilint_finds_nothing(name: str, tmp_path: Path) -> None:
    base_modules(tmp_path)
    code, said = await run("smilint", "-l", "6", str(MIBS / f"{name}.txt"), given={"SMIPATH": f"{tmp_path}:{MIBS}"})
    assert (code, said) == (0, "")


async def test_a_module_below_another_node_is_as_sound(tmp_path: Path) -> None:
    base_modules(tmp_path)
    from frontinus_snmp.objects import own

    (tmp_path / "FRONTINUS-MIB.txt").write_text("\n".join(mib.module(own.module((1, 3, 6, 1, 4, 1, 32473, 7)))) + "\n")
    code, said = await run(
        "smilint", "-l", "6", str(tmp_path / "FRONTINUS-MIB.txt"), given={"SMIPATH": f"{tmp_path}:{MIBS}"}
    )
    assert (code, said) == (0, "")


async def test_snmptable_shows_guests_by_name(tmp_path: Path) -> None:
    base_modules(tmp_path)
    async with rig(tmp_path) as agent:
        options = [*v3(), "-m", "VM-MIB:FRONTINUS-MIB", "-M", f"{tmp_path}:{MIBS}", "-Ci", "-Cf", "|", "-CH"]
        code, said = await run("snmptable", *options, f"127.0.0.1:{agent.port}", "VM-MIB::vmTable")
        assert code == 0, said
        rows = [line.split("|") for line in said.splitlines() if "|" in line]
        assert sorted((row[1].strip('"'), row[4], row[5]) for row in rows) == [
            ("guest-00000", "running", "running"), ("guest-00001", "running", "running"), ("test", "running", "running"),
        ]  # fmt: skip
        code, said = await run("snmptable", *options, f"127.0.0.1:{agent.port}", "FRONTINUS-MIB::frnGuestTable")
        rows = [line.split("|") for line in said.splitlines() if "|" in line]
        assert sorted((row[1].strip('"'), row[2]) for row in rows) == [
            ("guest-00000", "running"), ("guest-00001", "running"), ("test", "running"),
        ], said  # fmt: skip
