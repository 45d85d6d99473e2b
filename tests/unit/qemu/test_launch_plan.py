"""What a launch is told beside the command line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import Unsupported
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import HostFacts, Paths
from frontinus.domain.plan import LaunchPlan, Listener
from frontinus.domain.plugging import plugged
from frontinus.domain.prepare import prepare
from frontinus.mock.capabilities import capabilities
from frontinus.qemu.hotplug import plan_device
from frontinus.qemu.plan import launch_plan

XML = """<domain type='qemu'><name>x</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"""
HOST = HostFacts(paths=Paths(state="/s", run="/r", log="/l"))


def plan(devices: str, host: HostFacts = HOST) -> LaunchPlan:
    caps = capabilities()
    guest = prepare(complete(parse_guest(XML.format(devices=devices)), caps, host), caps, host, guest_id=7)
    return launch_plan(guest, caps, host)


def test_monitor_and_log() -> None:
    made = plan("")
    assert (
        made.folder == "/s/domain-7-x"
        and made.monitor == f"{made.folder}/monitor.sock"
        and made.log == "/l/guests/x.log"
    )
    assert [r.path for r in made.resources if isinstance(r, Listener)] == [made.monitor]
    assert made.agent is None and made.agent_device is None


def test_agent() -> None:
    made = plan("<channel type='unix'><target type='virtio' name='other'/></channel>"
                "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>")  # fmt: skip
    assert made.agent_device == "channel1" and made.agent in [r.path for r in made.resources if isinstance(r, Listener)]


def test_commands_before_the_guest_runs() -> None:
    made = plan("<memballoon model='virtio'><stats period='5'/></memballoon>")
    balloon = {"path": "/machine/peripheral/balloon0", "property": "guest-stats-polling-interval", "value": 5}
    assert ("qom-set", balloon) in made.monitor_commands
    assert not [c for c, _ in plan("<memballoon model='virtio'/>").monitor_commands if c == "qom-set"]


CURRENT = "</devices><currentMemory unit='MiB'>32</currentMemory><devices>"


def test_the_balloon_holds_what_a_guest_is_not_to_have_yet() -> None:
    told = ("balloon", {"value": 32 * 2**20})
    assert told in plan(f"<memballoon model='virtio'/>{CURRENT}").monitor_commands
    assert told in plan(CURRENT).monitor_commands, "which every guest has"
    assert told not in plan(f"<memballoon model='none'/>{CURRENT}").monitor_commands
    assert not plan(CURRENT.replace(">32<", ">64<")).monitor_commands


LUN = """<disk type='block' device='lun'{rawio}><source dev='/dev/sg'/><target dev='sda' bus='scsi'/></disk>"""
RAW = " rawio='yes'"


def test_a_guest_that_may_send_any_scsi_command_has_the_right_to_it() -> None:
    assert plan(LUN.format(rawio=RAW)).rights == ("sys_rawio",) and plan(LUN.format(rawio="")).rights == ()
    adapter = "<source><adapter name='scsi_host0'/><address bus='0' target='0' unit='0'/></source></hostdev>"
    facts = replace(HOST, scsi_generic={"*": "sg0"})
    assert plan(f"<hostdev mode='subsystem' type='scsi' rawio='yes'>{adapter}", facts).rights == ("sys_rawio",)


def test_a_running_guest_gets_no_more_rights() -> None:
    caps, text = capabilities(), XML.format(devices=LUN.format(rawio=RAW) + LUN.format(rawio=RAW).replace("sda", "sdb"))
    guest = prepare(complete(parse_guest(text), caps, HOST), caps, HOST, guest_id=7)
    first, second = guest.devices.disks
    guest.devices.disks = [first]
    plugged(guest, second, caps, HOST)
    assert plan_device(guest, first, caps, HOST).steps, "the last one can leave"
    guest.devices.disks = []
    with pytest.raises(Unsupported, match="rawio='yes'.*start only"):
        plugged(guest, second, caps, HOST)
