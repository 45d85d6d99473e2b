"""The SNMP agent's read model: what changes are worth telling, and what a definition says."""

from __future__ import annotations

import pytest

from frontinus.api.errors import InvalidXML
from frontinus.api.events import ChangedEvent, DiskChangeEvent, JobEvent, LifecycleEvent
from frontinus.api.views import GuestView, Snapshot
from frontinus_snmp import model as models
from frontinus_snmp.details import Details, details
from frontinus_snmp.model import Model
from frontinus_snmp.objects.vm import NOTIFICATIONS
from frontinus_snmp.rows import Guest, Places, affinity_rows, source_type, source_words

NUMBERS = {note.name: note.number for note in NOTIFICATIONS}
UUID = "00000000-0000-0000-0000-000000000001"


def view(state: str = "running", reason: str = "booted", **more: object) -> GuestView:
    active = state not in ("shutoff", "nostate")
    return GuestView(uuid=UUID, name="g", state=state, reason=reason, active=active, **more)  # type: ignore[arg-type]


def life(kind: str, guest: GuestView | None, time: float = 100.0) -> LifecycleEvent:
    return LifecycleEvent(uuid=UUID, name="g", kind=kind, detail="", guest=guest, time=time)  # type: ignore[arg-type]


def told(model: Model) -> list[int]:
    found = [NUMBERS[news.name] for news in model.news if news.name in NUMBERS]
    model.news.clear()
    return found


def connected(*guests: GuestView) -> Model:
    model = Model()
    model.take(Snapshot(generation=1, guests=guests))
    return model


def test_the_first_snapshot_is_no_news() -> None:
    assert told(connected(view())) == []


def test_a_life_is_told_once_each() -> None:
    model = connected(view("shutoff", "shutdown"))
    model.take(life("started", view()))
    assert told(model) == [1] and model.guests[UUID].booted == 100.0
    model.take(ChangedEvent(uuid=UUID, name="g", guest=view(title="other")))
    assert told(model) == []
    model.take(life("suspended", view("paused", "user")))
    model.take(life("resumed", view()))
    model.take(life("shutdown", view("shutdown", "user")))
    model.take(life("stopped", view("shutoff", "shutdown")))
    model.take(life("undefined", None))
    assert told(model) == [4, 1, 2, 3, 10] and model.changed == 2
    model.take(life("undefined", None))
    assert told(model) == []


def test_what_happened_while_the_reader_was_slow_is_told() -> None:
    model = connected(view())
    model.take(Snapshot(generation=9, guests=(view("crashed", "panicked"),), resync=True))
    assert told(model) == [9]
    model.take(Snapshot(generation=10, guests=(), resync=True))
    assert told(model) == [10] and not model.guests


def test_an_engine_that_is_lost_is_no_news() -> None:
    model = connected(view())
    model.forget()
    model.take(Snapshot(generation=1, guests=(view("shutoff", "shutdown"),)))
    assert told(model) == []


def test_a_save_is_told_from_its_beginning_to_its_end() -> None:
    model = connected(view())
    model.take(JobEvent(uuid=UUID, name="g", job="1", kind="save", state="running"))
    model.take(life("stopped", view("shutoff", "saved", job="save")))
    model.take(JobEvent(uuid=UUID, name="g", job="1", kind="save", state="completed"))
    model.take(ChangedEvent(uuid=UUID, name="g", guest=view("shutoff", "saved", managed_save=True)))
    assert told(model) == [5, 6]
    model.take(
        LifecycleEvent(uuid=UUID, name="g", kind="started", detail="restored", guest=view("running", "restored"))
    )
    assert [news.facts for news in model.news][:1] == [{"vmOperState": 7}] and told(model) == [7, 1]


def test_a_save_that_fails_is_told_as_the_guest_going_on() -> None:
    model = connected(view())
    model.take(JobEvent(uuid=UUID, name="g", job="1", kind="save", state="running"))
    model.take(JobEvent(uuid=UUID, name="g", job="1", kind="save", state="failed"))
    assert told(model) == [5, 1]
    model.take(life("resumed", view("running", "save canceled")))
    assert told(model) == []


def test_news_are_bounded_and_the_oldest_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MOST_NEWS", 3)
    model = connected(view())
    for _ in range(3):
        model.take(life("suspended", view("paused", "user")))
        model.take(life("resumed", view()))
    assert [news.name for news in model.news] == ["frnGuestLifecycle", "vmRunning", "frnGuestLifecycle"]
    assert model.dropped == 9


def test_a_change_of_a_disk_asks_for_the_definition_again() -> None:
    model = connected(view())
    model.guests[UUID].details = Details()
    model.take(DiskChangeEvent(uuid=UUID, name="g", old=None, new=None, device="vda", reason=""))
    assert model.guests[UUID].details is None


XML = """<domain><metadata><l:libosinfo xmlns:l='urn:l'><l:os id='http://debian.org/debian/12'/></l:libosinfo></metadata>
<cputune><vcpupin vcpu='1' cpuset='0-2,^1'/><vcpupin vcpu='9' cpuset='0'/></cputune><devices>
<disk type='file' device='cdrom'><source file='/a.iso'/><target dev='sda'/><readonly/></disk>
<disk type='network'><driver type='raw'/><source protocol='rbd' name='pool/x'/><target dev='vda'/></disk>
<disk type='file'><driver type='qcow2'/><source file='/a.qcow2'/><target dev='vdb'/></disk>
<interface><mac address='52:54:00:00:00:01'/><model type='e1000e'/></interface></devices></domain>"""


def test_a_definition_is_read() -> None:
    found = details(XML)
    assert found.os == "http://debian.org/debian/12" and found.models == {"52:54:00:00:00:01": "e1000e"}
    assert [(d.path, d.readonly, source_type(d), source_words(d)) for d in found.disks.values()] == [
        ("/a.iso", True, 4, ""), ("pool/x", False, 6, "rbd raw"), ("/a.qcow2", False, 5, "qcow2"),
    ]  # fmt: skip
    with pytest.raises(InvalidXML):
        details("<domain>")


def test_pinned_cpus_are_rows_of_the_guest_that_has_them() -> None:
    guest = Guest(7, view(max_vcpus=2), Places(), details=details(XML))
    assert [index for index, _ in affinity_rows(guest)] == [(7, 2, 1), (7, 2, 3)]
