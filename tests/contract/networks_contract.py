"""What every networks port must do, as cases that get a port and the plan of a network; both the mock and Linux run them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from frontinus.domain.host import HostFacts, Paths
from frontinus.network.definition import complete, parse_network
from frontinus.network.firewall import firewall
from frontinus.network.model import Network
from frontinus.network.plan import NetworkPlan, plan
from frontinus.ports.networks import HostNetworks

XML = """<network><name>contract</name><forward mode='nat'/><bridge name='virbr6'/><mac address='52:54:00:06:06:06'/>
<ip address='10.6.6.1' prefix='24'><dhcp><range start='10.6.6.2' end='10.6.6.9'/></dhcp></ip></network>"""
BARE = "<network><name>contract</name><forward mode='vepa'><interface dev='lo'/></forward></network>"

Case = Callable[[HostNetworks, Paths], Awaitable[None]]


def network(text: str = XML) -> Network:
    return complete(parse_network(text), HostFacts())


def planned(paths: Paths, text: str = XML) -> NetworkPlan:
    return plan(network(text), paths)


async def set_up_and_tear_down_are_idempotent(port: HostNetworks, paths: Paths) -> None:
    before = await port.links()
    await port.tear_down(planned(paths))
    for _ in range(2):
        await port.set_up(planned(paths))
        assert await port.links() == before | {"virbr6"}
    for _ in range(2):
        await port.tear_down(planned(paths))
        assert await port.links() == before


async def a_network_without_a_bridge_is_no_more_than_known(port: HostNetworks, paths: Paths) -> None:
    before = await port.links()
    await port.set_up(planned(paths, BARE))
    assert await port.links() == before
    assert list(await port.leases(planned(paths, BARE))) == []
    await port.tear_down(planned(paths, BARE))


async def a_new_network_has_no_leases_and_forgets_twice(port: HostNetworks, paths: Paths) -> None:
    await port.set_up(planned(paths))
    assert list(await port.leases(planned(paths))) == []
    await port.tear_down(planned(paths))
    await port.forget(planned(paths))
    await port.forget(planned(paths))


async def rules_replace_each_other(port: HostNetworks, paths: Paths) -> None:
    for commands in (firewall([(network(), "virbr6")], paths), firewall([], paths), firewall([], paths)):
        await port.guard(commands)


async def what_is_not_there_is_empty(port: HostNetworks, paths: Paths) -> None:
    assert port.refusal() is None
    assert list(await port.pool("no-such-device")) == []
    assert await port.neighbours() == {}
    await port.sweep([])
    await port.hook("contract", "start", "begin", "<network/>")


CASES: tuple[Case, ...] = (
    set_up_and_tear_down_are_idempotent, a_network_without_a_bridge_is_no_more_than_known,
    a_new_network_has_no_leases_and_forgets_twice, rules_replace_each_other, what_is_not_there_is_empty,
)  # fmt: skip
