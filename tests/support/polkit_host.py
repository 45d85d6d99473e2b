"""Run in a mount namespace of its own: a bus, the real polkitd with our installed files and one rule, and what it says.

Arguments: a folder for all of it, and the pid of a process of nobody. Prints JSON: what nobody may do with two guests.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from frontinus.api.identity import Identity
from frontinus.api.permissions import PERMISSIONS
from frontinus.client.install import Place, install
from frontinus.linux.polkit import Polkit, Unavailable

POLKIT = Path("/usr/share/polkit-1")
NOBODY = 65534
RULE = """polkit.addRule(function(action, subject) {
    if (action.id == "org.libvirt.api.domain.suspend" && action.lookup("domain_name") == "web1" && subject.user == "nobody") {
        return polkit.Result.YES;
    }
    if (action.id == "org.libvirt.api.domain.getattr" && action.lookup("domain_name") == "db1") {
        return polkit.Result.NO;
    }
});
"""
BUS = """<busconfig><type>system</type><listen>unix:path={0}</listen><auth>EXTERNAL</auth><policy context="default">
<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>"""


def prepare(folder: Path) -> None:
    install(Place(folder / "stage", Path("/usr/bin")), dry_run=False, yes=True)
    staged = folder / "stage" / POLKIT.relative_to("/")
    (staged / "rules.d/50-test.rules").write_text(RULE)
    subprocess.run(["mount", "--bind", str(staged), str(POLKIT)], check=True)
    (folder / "bus.conf").write_text(BUS.format(folder / "bus"))


async def ask(address: str, pid: int) -> dict[str, bool]:
    policy, who = Polkit(address), Identity(uid=NOBODY, gid=NOBODY, pid=pid)
    async with asyncio.timeout(60):
        while True:  # polkitd takes a moment to read its rules and own its name
            try:
                await policy._authority.check(who, "org.libvirt.api.domain.read", {})
                break
            except Unavailable:
                await asyncio.sleep(0.2)
    return {
        f"{name} {guest}": await policy.allows(who, PERMISSIONS[name], {"domain_name": guest})
        for name in ("guest", "suspend", "destroy")
        for guest in ("web1", "db1")
    }


def main(folder: Path, pid: int) -> None:
    prepare(folder)
    bus = subprocess.Popen(["dbus-daemon", f"--config-file={folder / 'bus.conf'}", "--nofork", "--nopidfile",
                            "--print-address=1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    assert bus.stdout is not None and bus.stdout.readline()
    address = f"unix:path={folder / 'bus'}"
    polkitd = subprocess.Popen(["/usr/lib/polkit-1/polkitd", "--no-debug"],
                               env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        sys.stdout.write("\n" + json.dumps(asyncio.run(ask(address, pid))) + "\n")
    finally:
        for process in (polkitd, bus):
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
