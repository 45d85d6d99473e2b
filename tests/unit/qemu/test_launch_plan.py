"""What a launch is told beside the command line."""

from __future__ import annotations

from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import HostFacts, Paths
from frontinus.domain.plan import LaunchPlan, Listener
from frontinus.domain.prepare import prepare
from frontinus.mock.capabilities import capabilities
from frontinus.qemu.plan import launch_plan

XML = """<domain type='qemu'><name>x</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"""
HOST = HostFacts(paths=Paths(state="/s", run="/r", log="/l"))


def plan(devices: str) -> LaunchPlan:
    caps = capabilities()
    guest = prepare(complete(parse_guest(XML.format(devices=devices)), caps, HOST), caps, HOST, guest_id=7)
    return launch_plan(guest, caps, HOST)


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
