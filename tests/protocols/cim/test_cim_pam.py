"""Passwords that PAM knows: over the wire by a service of the test's own, and beside pam_unix as each kind of process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import pywbem

from frontinus.client.toml import BadConfig
from frontinus_cim.front import config, pam, pam_check
from frontinus_cim.front.pam import Pam, Roles, Settings
from support.cim import PATIENCE, Rig, process, rig, says
from support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")
GUEST = pywbem.CIMInstanceName(
    "KVM_ComputerSystem", {"CreationClassName": "KVM_ComputerSystem", "Name": "test"}, namespace="root/virt"
)
CHECK = """#!/bin/sh
# as pam_exec calls it: the password on standard input, the rest in the environment
word=$(head -c 200 | tr -d '\\0')
[ "$PAM_RHOST" = 127.0.0.1 ] || exit 1
case $PAM_USER:$word in
    hangs:*) touch {folder}/hanging; while [ ! -e {folder}/stop ]; do sleep 0.1; done ;;
    noisy:secret-of-noisy) echo not json; exit 0 ;;
    *:secret-of-$PAM_USER) exit 0 ;;
esac
exit 1
"""
SERVICE = """auth required pam_exec.so quiet expose_authtok stdout {folder}/check
account required pam_exec.so quiet {folder}/account
"""
ACCOUNT = "#!/bin/sh\n[ $PAM_USER != expired ]\n"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    folder = tmp_path / "pam"
    folder.mkdir()
    for name, text in (("check", CHECK), ("account", ACCOUNT), ("ours", SERVICE)):
        (folder / name).write_text(text.replace("{folder}", str(folder)))
        (folder / name).chmod(0o755)
    yield Settings("ours", Roles({"operator", "expired", "noisy", "hangs"}, {"watcher"}), folder)
    (folder / "stop").touch()


async def guests(cim: Rig, user: str, password: str) -> int:
    """How many guests a user sees; raises AuthError."""
    connection = pywbem.WBEMConnection(
        f"https://127.0.0.1:{cim.port}", (user, password), no_verification=True, timeout=PATIENCE
    )
    try:
        found = await asyncio.to_thread(connection.EnumerateInstanceNames, "KVM_ComputerSystem", namespace="root/virt")
        return len(found)
    finally:
        connection.close()


async def refused(cim: Rig, user: str, password: str) -> None:
    with pytest.raises(pywbem.AuthError):
        await guests(cim, user, password)


async def test_a_password_of_pams_lets_in_who_has_a_role(tmp_path: Path, settings: Settings) -> None:
    async with rig(tmp_path, guests=0, config=config.Config(pam=settings)) as cim:
        assert await guests(cim, "operator", "secret-of-operator") == 1
        await refused(cim, "operator", "secret-of-watcher")
        await refused(cim, "operator", "")
        await refused(cim, "stranger", "secret-of-stranger")
        await refused(cim, "expired", "secret-of-expired")
        await refused(cim, "admin", "secret-of-admin")  # the users' file goes before PAM
        assert await guests(cim, "noisy", "secret-of-noisy") == 1
        for user, status in (("watcher", 2), ("operator", 0)):
            connection = pywbem.WBEMConnection(
                f"https://127.0.0.1:{cim.port}", (user, f"secret-of-{user}"), no_verification=True
            )
            try:
                value, _ = await asyncio.to_thread(
                    connection.InvokeMethod, "RequestStateChange", GUEST, RequestedState=pywbem.Uint16(9)
                )
                assert (status, value) == (0, 0)
            except pywbem.CIMError as denied:
                assert denied.status_code == status
            finally:
                connection.close()
        assert (await cim.engine.guest("test")).state == "paused"


async def test_the_process_opens_its_port_for_pams_users_alone(tmp_path: Path, settings: Settings) -> None:
    table = f'service = "ours"\ndirectory = "{settings.folder}"\ncontrol = ["operator"]\n'
    async with (
        rig(tmp_path, guests=0) as cim,
        process(tmp_path, f'listen = ["127.0.0.1:0"]\n[pam]\n{table}') as started,
    ):
        found = await says(started, rb"https://127.0.0.1:(\d+)/cimom for 0 users and PAM's")
        cim.port = int(found[1])
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(pywbem.CIMError):  # until it knows the engine
                    assert await guests(cim, "operator", "secret-of-operator") == 1
                    break
                await asyncio.sleep(0.1)
        await refused(cim, "watcher", "secret-of-watcher")


async def test_guesses_are_counted_also_when_many_come_at_once(tmp_path: Path, settings: Settings) -> None:
    async with rig(tmp_path, guests=0, config=config.Config(pam=settings)) as cim:
        asked: list[str] = []
        inner = cim.front.access._pam
        assert inner is not None
        ask = inner._ask

        async def counted(name: str, password: str, address: str) -> pam.Known | None:
            asked.append(password)
            return await ask(name, password, address)

        inner._ask = counted  # type: ignore[method-assign]
        await asyncio.gather(*[refused(cim, "operator", f"guess-{number}") for number in range(20)])
        assert len(asked) == 10
        await refused(cim, "operator", "secret-of-operator")
        assert len(asked) == 10


async def test_the_same_password_at_once_is_asked_about_once(tmp_path: Path, settings: Settings) -> None:
    async with rig(tmp_path, guests=0, config=config.Config(pam=settings)) as cim:
        assert await asyncio.gather(*[guests(cim, "operator", "secret-of-operator") for _ in range(12)]) == [1] * 12


async def test_a_pam_that_hangs_holds_nobody_else_up(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pam, "SECONDS", 600.0)
    async with rig(tmp_path, guests=0, config=config.Config(pam=settings)) as cim:
        hanging = asyncio.create_task(refused(cim, "hangs", "whatever-it-is"))
        await until((settings.folder or tmp_path).joinpath("hanging").exists)
        assert await cim.ask("EnumerateInstanceNames", "KVM_ComputerSystem")
        assert await guests(cim, "operator", "secret-of-operator") == 1
        assert not hanging.done()
        hanging.cancel()
    await until(lambda: not helpers())  # none outlives the provider
    monkeypatch.setattr(pam, "SECONDS", 0.3)
    assert await Pam(settings).user("hangs", "whatever-it-is", "127.0.0.1") is None
    await until(lambda: not helpers())  # none outlives its time


def helpers() -> list[str]:
    """The checks that this process has under way."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = []
    for child in children:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            lines.append(Path(f"/proc/{child}/cmdline").read_text())
    return [line for line in lines if "pam_check" in line]


async def test_a_service_that_is_not_there_lets_nobody_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "pam").mkdir()
    none = Settings("none", Roles({"operator"}, set()), tmp_path / "pam")
    assert await Pam(none).user("operator", "secret-of-operator", "127.0.0.1") is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("name", ["", "a\0b", "-x;y", "x" * 65, "a b", "ä"])
async def test_names_that_cannot_be_are_not_asked_about(name: str, settings: Settings) -> None:
    asking = Pam(settings)
    asking._ask = None  # type: ignore[method-assign,assignment]
    assert await asking.user(name, "secret-of-operator", "127.0.0.1") is None


def test_roles_are_of_users_and_groups() -> None:
    roles = Roles({"root", "@virt-admins"}, {"@staff"})
    assert roles.of(pam.Known("a", ["staff", "virt-admins"])) == "control"
    assert roles.of(pam.Known("a", ["staff"])) == "monitor" and roles.of(pam.Known("root", [])) == "control"
    assert roles.of(pam.Known("staff", ["root"])) is None, "a user is no group of that name"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[pam]\n", "control"),
        ("[pam]\nservice = '../x'\ncontrol = ['a']\n", "service"),
        ("[pam]\ncontrol = 'a'\n", "pam.control"),
        ("[pam]\ncontrol = ['a']\nroles = 1\n", "pam.roles"),
        ("pam = true\n", "pam"),
    ],
)
def test_a_mistake_in_the_table_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "cim.toml").write_text(text)
    with pytest.raises(BadConfig, match=named):
        config.load(tmp_path / "cim.toml")


UNIX = "auth required pam_unix.so\naccount required pam_unix.so\n"
HOST = """set -e
mount --make-rprivate / && mount -t tmpfs none "$1" && cd "$1" && chmod 755 . && mkdir pam.d
cp /etc/passwd /etc/shadow /etc/group . && cp "$2" check.py
echo 'alice:x:4242:4242::/:/bin/false' >> passwd
echo 'plain:x:4243:4243::/:/bin/false' >> passwd
echo 'inshadow:x:4244:4244::/:/bin/false' >> passwd
sed -i 's/^shadow:x:\\([0-9]*\\):.*/shadow:x:\\1:inshadow/' group && echo 'virt:x:4250:alice' >> group
echo "alice:$(openssl passwd -6 right-word):19000:0:99999:7:::" >> shadow && chgrp shadow shadow && chmod 640 shadow
printf '%s' "$3" > pam.d/unix
for file in passwd shadow group; do mount --bind $file /etc/$file; done
shift 3 && exec "$@" /usr/bin/python3 -IS check.py
"""
NO_NEW = ("--init-groups", "--no-new-privs")


@pytest.mark.needs("root", "unshare", "setpriv", "openssl")
@pytest.mark.parametrize(
    ("who", "password", "code"),
    [
        ((), "right-word", pam_check.YES),
        ((), "wrong-word", pam_check.NO),
        (("setpriv", "--reuid=4243", "--regid=4243", "--init-groups"), "right-word", pam_check.BROKEN),
        (("setpriv", "--reuid=4243", "--regid=4243", *NO_NEW), "right-word", pam_check.BROKEN),
        (("setpriv", "--reuid=4244", "--regid=4244", *NO_NEW), "right-word", pam_check.YES),
        (("setpriv", "--reuid=4244", "--regid=4244", *NO_NEW), "wrong-word", pam_check.NO),
    ],
)
def test_pam_unix_answers_those_who_may_read_its_passwords(who: tuple[str, ...], password: str, code: int) -> None:
    """What docs/cim.md says: the provider's user must be in the group shadow, and then its helper needs no more."""
    asked = {
        "service": "unix",
        "folder": "/mnt/pam.d",
        "name": "alice",
        "password": password,
        "host": "::1",
    }
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", HOST, "sh", "/mnt", pam_check.__file__, UNIX, *who],
        input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == code, done.stderr
    if code == pam_check.YES:
        assert json.loads(done.stdout) == {"name": "alice", "groups": ["virt"]}
