"""The engine in process: the use cases joined, recovered, and handed out as sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from frontinus.api.engine import Engine
from frontinus.api.errors import NoSuchFilter, NoSuchGuest, NoSuchNetwork
from frontinus.api.identity import Identity
from frontinus.api.permissions import PERMISSIONS
from frontinus.api.views import JobView
from frontinus.engine import apart
from frontinus.engine.access import ByRole, Details, Policy, Sight, described, guest_details
from frontinus.engine.block.blockjobs import BlockJobs
from frontinus.engine.filter.filtering import load_filters
from frontinus.engine.filter.filters import Filters
from frontinus.engine.guest.addresses import Addresses
from frontinus.engine.guest.agent import AgentDesk
from frontinus.engine.guest.definitions import Definitions
from frontinus.engine.guest.handing import Handing
from frontinus.engine.guest.hotplug import Hotplug
from frontinus.engine.guest.inspection import Inspection
from frontinus.engine.guest.interaction import Interaction
from frontinus.engine.guest.power import Power
from frontinus.engine.guest.saving import Saving
from frontinus.engine.guest.stats import Statistics
from frontinus.engine.inventory import Inventory
from frontinus.engine.network.netrecovery import recover_networks, start_networks
from frontinus.engine.network.networks import Networks
from frontinus.engine.node import NodeDesk
from frontinus.engine.recovery import recover
from frontinus.engine.secret.secretrights import secret_rights
from frontinus.engine.secret.secrets import Secrets, load_secrets
from frontinus.engine.session import Session, as_engine
from frontinus.engine.snapshot.backups import Backups
from frontinus.engine.snapshot.checkpoints import Checkpoints
from frontinus.engine.snapshot.snapshots import Snapshots
from frontinus.engine.storage import pools
from frontinus.engine.storage.pools import Pools, load_pools
from frontinus.engine.storage.rekeying import Rekeying
from frontinus.engine.storage.rekeying import recover as recover_secrets
from frontinus.engine.storage.transfers import Transfers
from frontinus.engine.storage.volumes import Volumes
from frontinus.engine.storagedetails import stored_details
from frontinus.engine.tuning.limits import Limiting
from frontinus.engine.tuning.placement import Placement
from frontinus.engine.tuning.throttling import Throttling
from frontinus.engine.tuning.tuning import Tuning
from frontinus.engine.world import World

MEASURED_WITHIN = 2.0
"""Seconds that jobs have to say how far they are: a hypervisor that hangs does not keep those of others from being told."""


class JobDesk:
    """The use cases on long jobs."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def jobs(self, guest: str | None = None) -> list[JobView]:
        uuid = self.world.guests.find(guest).uuid if guest else None
        await self.world.jobs.measure(uuid, within=MEASURED_WITHIN)
        return self.world.jobs.of(uuid)

    async def abort_job(self, job: str) -> None:
        self.world.jobs.abort(job)


class LocalEngine:
    """Owns the world. `start` before the first session, `stop` after the last; guests run on."""

    def __init__(self, world: World, policy: Policy | None = None) -> None:
        self.world = world
        self.policy = policy or ByRole()
        self.power = Power(world)
        services = (self.power, Definitions(world), Saving(world), Interaction(world), Tuning(world), Hotplug(world),
                    Statistics(world), Inventory(world, self.policy.name), JobDesk(world), Placement(world), Limiting(world),
                    Throttling(world), Inspection(world), AgentDesk(world), NodeDesk(world), Pools(world), Volumes(world),
                    Transfers(world), Secrets(world), Networks(world), Addresses(world), BlockJobs(world),
                    Filters(world), Rekeying(world), Snapshots(world), Handing(world),
                    Checkpoints(world), Backups(world))  # fmt: skip
        self._use_cases: dict[str, Callable[..., object]] = {
            name: getattr(service, name) for service in services for name in PERMISSIONS if hasattr(service, name)
        }
        self._use_cases["watch"] = world.bus.watch
        self.policy.when_changed(world.bus.resync)
        missing = set(PERMISSIONS) - set(self._use_cases)
        assert not missing, f"the facade has no use case for {missing}"

    async def start(self, *, autostart: bool = True) -> None:
        """Find what an earlier engine left, then start what is marked for it."""
        await load_secrets(self.world)
        await load_pools(self.world)
        await load_filters(self.world)
        await recover_networks(self.world)
        await recover(self.world)
        await recover_secrets(self.world)
        await start_networks(self.world, autostart=autostart)
        if autostart:
            self.world.spawn(self._autostart(), "autostart")

    async def _autostart(self) -> None:
        """Pools before the guests whose disks may be in them."""
        await pools.autostart(self.world)
        await self.power.autostart()

    async def stop(self) -> None:
        """Let go of every guest, end the streams and all that goes on in the background. No thread is left."""
        self.world.bus.close()
        self.world.overhearing.close()
        for record in self.world.guests:
            record.fdgroups.clear()
            if record.running is not None:
                if record.running.news is not None:
                    record.running.news.cancel()
                await record.running.process.detach()
        await self.world.end_tasks()
        await self._let_go()

    async def _let_go(self) -> None:
        """Of the host: the store last, since what ends may still be written down."""
        if self.world.host_networks is not None:
            await self.world.host_networks.close()
        self.world.resources.close()
        await self.world.firewall.close()
        await self.world.logs.close()
        self.world.storage.close()
        self.world.audit.close()
        await self.world.store.close()

    def session(self, who: Identity) -> Engine:
        """The facade for one caller."""
        sight = Sight(self.policy, who, self.world.hypervisor.name, self._name_of)
        further = partial(secret_rights, self.world)
        return as_engine(Session(self._use_cases, who, self.policy, self._about, sight, further))

    def _name_of(self, uuid: str) -> str | None:
        record = self.world.guests.get(uuid)
        return record.name if record else None

    async def _about(self, name: str, given: Mapping[str, object]) -> Details:
        """Facts of the object that a call is about."""
        found = {
            **self._guest(given), **self._network_details(given), **self._filter_details(given),
            **stored_details(self.world, given),
        }  # fmt: skip
        if not found and "xml" in given:
            kind = KINDS.get(PERMISSIONS[name].object, "domain")
            found = dict(await apart.reading(given["xml"], lambda: described(given["xml"], kind)))
        return {**found, "connect_driver": self.world.hypervisor.name} if found else found

    def _guest(self, given: Mapping[str, object]) -> Details:
        key = given.get("guest")
        if isinstance(key, str):
            try:
                record = self.world.guests.find(key)
            except NoSuchGuest:
                return {}
            return guest_details(record.uuid, record.name)
        job = given.get("job")
        for view in self.world.jobs.of(None) if job is not None else ():
            if view.id == job and view.guest is not None:
                return guest_details(view.guest, self._name_of(view.guest) or "")
        return {}

    def _filter_details(self, given: Mapping[str, object]) -> dict[str, str]:
        """Of a filter, or of the one that is bound to a link."""
        key, link = given.get("filter"), given.get("link")
        try:
            if isinstance(key, str):
                found = self.world.filters.find(key)
            elif isinstance(link, str):
                found = self.world.filters.find(self.world.filters.nic(link).use.filter)
            else:
                return {}
        except NoSuchFilter:
            return {}
        return {"nwfilter_name": found.name, "nwfilter_uuid": found.uuid or ""}

    def _network_details(self, given: Mapping[str, object]) -> dict[str, str]:
        key = given.get("network")
        if not isinstance(key, str):
            return {}
        try:
            record = self.world.networks.find(key)
        except NoSuchNetwork:
            return {}
        port = {"network_port_uuid": str(given["port"])} if isinstance(given.get("port"), str) else {}
        return {"network_name": record.name, "network_uuid": record.uuid, **port}


KINDS = {"network": "network", "nwfilter": "nwfilter", "storage-pool": "pool", "secret": "secret"}
"""How details call the objects of permissions; all others are guests."""
