"""SNMPv3's user-based security, what is kept on disk, and the configuration: whatever is not sound is not served."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from pathlib import Path

import pytest

from frontinus import durable
from frontinus.client.private import BadState
from frontinus.client.toml import BadConfig
from frontinus_snmp import ber, pdu, settings, store, usm
from frontinus_snmp.ber import Malformed
from frontinus_snmp.limits import Limiter, Quiet
from frontinus_snmp.main import main
from frontinus_snmp.pdu import GET
from frontinus_snmp.usm import AUTH, PRIV, REPORTABLE, Authority, Refused, User, make_user

ENGINE = b"\x80\x00\x1f\x88\x05" + b"engine-of-us"
PASSWORDS = (b"authentic-enough", b"private-enough")
BODY = pdu.write_pdu(GET, 5, 0, 0, ber.varbind(ber.encode_oid((1, 3, 6, 1, 2, 1, 1, 1, 0)), b"\x05\x00"))


def user(name: str = "u", auth: str = "SHA-256", priv: str = "AES-128") -> User:
    return make_user(name, auth, priv, PASSWORDS, ENGINE, "all")


def authority(*users: User, boots: int = 3) -> Authority:
    return Authority(ENGINE, boots, {each.name.encode(): each for each in users}, Counter(), 8192)


def sent(by: User | None, to: Authority, flags: int = AUTH | PRIV | REPORTABLE, body: bytes = BODY) -> bytes:
    """A manager's message: the authority's own clock and identity are what a manager uses."""
    return Authority(to.engine_id, to.boots, {}, Counter(), 8192).message(9, by, body, flags)


def opened(of: Authority, data: bytes) -> usm.Request:
    version, pos = pdu.version(data)
    if version != 3:
        raise Malformed(f"version {version}")
    return of.open(data, pos)


def refused(of: Authority, data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        opened(of, data)
    return caught.value


@pytest.mark.parametrize(("auth", "priv"), [("SHA-224", "AES-128"), ("SHA-256", "AES-256"), ("SHA-512", "AES-256")])
def test_a_request_comes_through(auth: str, priv: str) -> None:
    who = user(auth=auth, priv=priv)
    of = authority(who)
    request = opened(of, sent(who, of))
    assert request.user is who and request.pdu.names == ((1, 3, 6, 1, 2, 1, 1, 1, 0),)
    reply = of.seal(request, pdu.write_pdu(pdu.RESPONSE, 5, 0, 0, b""))
    assert len(reply) <= request.message.max_size and BODY not in reply


def test_a_key_is_rfc_3414s() -> None:
    """Computed by another implementation of the algorithm: hashing the stretched password piece by piece."""
    import hashlib
    import itertools

    digest = hashlib.sha256()
    stream = itertools.cycle(b"maplesyrup")
    for _ in range(2**14):
        digest.update(bytes(itertools.islice(stream, 64)))
    key = digest.digest()
    assert usm.localize(b"maplesyrup", ENGINE, "SHA-256") == hashlib.sha256(key + ENGINE + key).digest()


def test_every_changed_octet_is_noticed() -> None:
    who = user()
    of = authority(who)
    data = sent(who, of)
    for place in range(len(data)):
        changed = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        with pytest.raises((Refused, Malformed)):
            opened(of, changed)


@pytest.mark.parametrize(("flags", "counter"), [
    (REPORTABLE, "usmStatsUnsupportedSecLevels"), (AUTH | REPORTABLE, "usmStatsUnsupportedSecLevels"),
    (PRIV | REPORTABLE, "snmpInvalidMsgs"),
])  # fmt: skip
def test_less_than_privacy_is_refused(flags: int, counter: str) -> None:
    who = user()
    of = authority(who)
    assert str(refused(of, sent(who, of, flags))) == counter


def test_who_is_not_known_is_refused_and_told_if_they_ask() -> None:
    of = authority(user())
    assert refused(of, sent(user("x"), of)).report is not None
    assert refused(of, sent(user("x"), of, AUTH | PRIV)).report is None
    assert str(refused(of, sent(user("x"), of))) == "usmStatsUnknownUserNames"


def test_discovery_tells_engine_and_time_without_secrets() -> None:
    of = authority(user())
    asker = Authority(b"", 0, {}, Counter(), 8192)
    report = refused(of, asker.message(1, None, BODY, REPORTABLE)).report
    assert report is not None
    _, message = usm.read(report, pdu.version(report)[1])
    assert (message.engine_id, message.boots, message.flags, message.auth) == (ENGINE, 3, 0, b"")


def test_a_wrong_password_is_refused() -> None:
    of = authority(user())
    other = make_user("u", "SHA-256", "AES-128", (b"authentic-guess", PASSWORDS[1]), ENGINE, "all")
    assert str(refused(of, sent(other, of))) == "usmStatsWrongDigests"
    other = make_user("u", "SHA-256", "AES-128", (PASSWORDS[0], b"private-guess"), ENGINE, "all")
    with pytest.raises(Malformed):  # noise, which is dropped without a word
        opened(of, sent(other, of))


def test_a_message_recorded_before_a_restart_is_refused() -> None:
    who = user()
    recorded = sent(who, authority(who))
    again = refused(authority(who, boots=4), recorded)
    assert str(again) == "usmStatsNotInTimeWindows"
    assert again.report is not None
    _, message = usm.read(again.report, pdu.version(again.report)[1])
    assert message.flags == AUTH and len(message.auth) == 24


@pytest.mark.parametrize(("seconds", "late"), [(149, False), (152, True)])
def test_a_message_is_good_for_150_seconds(seconds: float, late: bool) -> None:
    who = user()
    of = authority(who)
    recorded = sent(who, of)
    of.started -= seconds
    if late:
        assert str(refused(of, recorded)) == "usmStatsNotInTimeWindows"
    else:
        opened(of, recorded)


def test_a_set_is_not_played_again_within_the_window() -> None:
    who = user()
    of = authority(who)
    change = pdu.write_pdu(pdu.SET, 5, 0, 0, b"")
    recorded = sent(who, of, body=change)
    opened(of, recorded)
    assert str(refused(of, recorded)) == "setsReplayed" and refused(of, recorded).report is None
    opened(of, sent(who, of, body=change))  # a manager's second try has another salt and digest
    asked = sent(who, of)
    assert opened(of, asked) and opened(of, asked)  # what changes nothing may come twice


def test_after_the_last_boot_nothing_is_served() -> None:
    who = user()
    of = authority(who, boots=2**31 - 1)
    assert str(refused(of, sent(who, of))) == "usmStatsNotInTimeWindows"


@pytest.mark.parametrize("words", [
    ("MD5", "AES-128"), ("SHA-256", "DES"), ("SHA-224", "AES-256"),
])  # fmt: skip
def test_weak_protocols_are_refused(words: tuple[str, str]) -> None:
    with pytest.raises(ValueError):
        user(auth=words[0], priv=words[1])


# --- on disk


def test_boots_grow_and_the_identity_stays(tmp_path: Path) -> None:
    first, second = store.boot(tmp_path), store.boot(tmp_path)
    assert first[0] == second[0] and (first[1], second[1]) == (1, 2)
    assert stat.S_IMODE((tmp_path / store.ENGINE).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ["", "{}", '{"engine_id": "00", "boots": 1}', '{"engine_id": "8000000005aa", "boots": -1}']
)
def test_a_damaged_engine_is_not_replaced(tmp_path: Path, text: str) -> None:
    durable.write(tmp_path / store.ENGINE, text.encode())
    with pytest.raises(BadState):
        store.boot(tmp_path)
    assert (tmp_path / store.ENGINE).read_text() == text


def test_boots_are_on_disk_before_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd))[1]
    )
    store.boot(tmp_path)
    assert any("engine.json" in name for name in synced) and str(tmp_path) in synced


def test_numbers_stay_and_are_never_given_twice(tmp_path: Path) -> None:
    a, b, c = (f"00000000-0000-0000-0000-00000000000{n}" for n in "abc")
    numbers = store.Numbers(tmp_path)
    numbers.learn([a, b])
    assert numbers.numbers == {a: 1, b: 2}
    with (tmp_path / store.GUESTS).open("a") as file:
        file.write(f"{c} 9")  # cut off by a crash: was never shown
    again = store.Numbers(tmp_path)
    assert again.numbers == {a: 1, b: 2}
    again.learn([c, a])
    assert store.Numbers(tmp_path).numbers == {a: 1, b: 2, c: 3}


def test_the_oldest_numbers_are_forgotten_but_not_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_KEPT", 2)
    uuids = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(5)]
    store.Numbers(tmp_path).learn(uuids[:4])
    numbers = store.Numbers(tmp_path)
    assert numbers.numbers == {uuids[2]: 3, uuids[3]: 4}
    numbers.learn([uuids[4]])
    assert store.Numbers(tmp_path).numbers[uuids[4]] == 5


def add(folder: Path, name: str, *options: str, lines: bytes = b"authentic-enough\nprivate-enough\n") -> int:
    reading, writing = os.pipe()
    os.write(writing, lines)
    os.close(writing)
    return main(["--state", str(folder / "snmp"), "adduser", name, "--password-fd", str(reading), *options])


def test_only_localized_keys_are_kept(tmp_path: Path) -> None:
    assert add(tmp_path, "monitor", "--priv", "AES-256") == 0
    file = tmp_path / "snmp" / store.USERS
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not any(word in file.read_bytes() for word in PASSWORDS)
    engine_id = bytes.fromhex(json.loads(file.read_text())["engine_id"])
    assert store.read_users(file.parent)[b"monitor"].auth_key == usm.localize(PASSWORDS[0], engine_id, "SHA-256")


@pytest.mark.parametrize("lines", [b"short\nshort\n", b"only-one-line\n", b""])
def test_poor_passwords_are_refused(tmp_path: Path, lines: bytes) -> None:
    assert add(tmp_path, "monitor", lines=lines) == 1
    assert store.read_users(tmp_path / "snmp") == {}


def test_keys_of_another_engine_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "monitor")
    (tmp_path / "snmp" / store.ENGINE).unlink()
    store.make_engine(tmp_path / "snmp")
    with pytest.raises(BadState):
        store.read_users(tmp_path / "snmp")


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "monitor")
    (tmp_path / "snmp" / store.USERS).chmod(0o640)
    with pytest.raises(BadState):
        store.read_users(tmp_path / "snmp")


def test_a_second_agent_is_kept_off(tmp_path: Path) -> None:
    held = store.lock(tmp_path)
    with pytest.raises(BadState):
        store.lock(tmp_path)
    os.close(held)
    os.close(store.lock(tmp_path))


# --- configuration


def configure(folder: Path, text: str, community: str | None = "a-long-community") -> Path:
    if community is not None:
        (folder / "community").write_text(community)
        (folder / "community").chmod(0o600)
    file = folder / "snmp.toml"
    file.write_text(text.replace("COMMUNITY", str(folder / "community")))
    return file


V2C = 'v2c = {enabled = true, community_file = "COMMUNITY", sources = ["10.0.0.0/8"], view = "all"}'


def test_without_a_file_there_is_no_community(tmp_path: Path) -> None:
    found = settings.load(tmp_path / "none")
    assert found.v2c is None and {host for host, _ in found.listen} == {"127.0.0.1"}
    assert found.view("unheard of").allows((1, 3, 6, 1)) is False


def test_v2c_needs_its_switch(tmp_path: Path) -> None:
    assert settings.load(configure(tmp_path, V2C.replace("true", "false"))).v2c is None
    found = settings.load(configure(tmp_path, V2C)).v2c
    assert (
        found is not None
        and found.allows("10.1.2.3")
        and found.allows("::ffff:10.1.2.3")
        and not found.allows("11.0.0.1")
    )


@pytest.mark.parametrize("text", [
    "unknown = 1", "listen = 5", 'listen = ["localhost:161"]', "max_size = 100", "max_age = -1", "views = {a = {x = 1}}",
    'views = {a = {include = ["iso.3"]}}', V2C.replace(', sources = ["10.0.0.0/8"]', ""), V2C.replace("10.0.0.0/8", "any"),
    V2C.replace('"all"', '"none"'), "contact = true", "[[notify]]\nto = '127.0.0.1:162'", "not toml",
])  # fmt: skip
def test_a_mistake_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadConfig):
        settings.load(configure(tmp_path, text))


@pytest.mark.parametrize("community", ["public", "PRIVATE", "short", ""])
def test_poor_communities_are_refused(tmp_path: Path, community: str) -> None:
    with pytest.raises(BadState):
        settings.load(configure(tmp_path, V2C, community))


def test_a_community_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = configure(tmp_path, V2C)
    (tmp_path / "community").chmod(0o644)
    with pytest.raises(BadState):
        settings.load(file)


# --- what is told to strangers


def test_reports_to_one_address_are_limited() -> None:
    now = [0.0]
    limiter = Limiter(clock=lambda: now[0])
    assert sum(limiter.allows("a") for _ in range(100)) == 20 and limiter.allows("b")
    now[0] = 1.0
    assert sum(limiter.allows("a") for _ in range(100)) == 20
    allowed = 0
    for _ in range(1000):  # asking on without a pause does not use up what comes back
        now[0] += 0.001
        allowed += limiter.allows("a")
    assert 18 <= allowed <= 21


def test_the_log_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    quiet = Quiet(clock=lambda: now[0])
    for _ in range(1000):
        quiet.warn("junk", "192.0.2.1")
    now[0] = 61.0
    quiet.warn("junk", "192.0.2.1")
    assert [record.getMessage() for record in caplog.records] == [
        "junk, from 192.0.2.1 (0 more of the kind before)", "junk, from 192.0.2.1 (999 more of the kind before)",
    ]  # fmt: skip
