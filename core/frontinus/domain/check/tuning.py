"""Why vCPUs, I/O threads and their tuning cannot be as described."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.reasons import Lacking
from frontinus.domain.tuning import CpuTune, EmulatorSched, IothreadSched, Tune, VcpuSched

REAL_TIME = ("fifo", "rr")
PRIORITIES = range(100)
"""Linux has real-time priorities from 1 on; 0 is for the kernel to refuse, as some definitions say it."""
WITHOUT_REMAPPING = 255
"""vCPUs that interrupts reach without an IOMMU in extended interrupt mode."""


def check_vcpus(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in <vcpu> and <vcpus>."""
    total = guest.vcpus
    if total is not None and total < 1:
        yield "<vcpu>: there must be at least one"
    total = total or 1
    if (guest.vcpu_current or 0) > total:
        yield f"<vcpu current='{guest.vcpu_current}'>: more than {total}"
    if guest.vcpu_cpuset is not None and not guest.vcpu_cpuset:
        yield "<vcpu cpuset>: names no CPU"
    machine = caps.canonical_machine(guest.machine)
    if machine is not None and total > machine.max_cpus:
        yield f"<vcpu>: the machine takes at most {machine.max_cpus}"
    elif total > WITHOUT_REMAPPING:
        yield from _many(guest)
    yield from _each(guest, total)


def _many(guest: Guest) -> Iterator[str]:
    if not guest.is_q35:
        yield f"<vcpu>: more than {WITHOUT_REMAPPING} need a q35 machine"
    elif guest.devices.iommu is None or guest.devices.iommu.eim is False:
        yield f"<vcpu>: more than {WITHOUT_REMAPPING} need an IOMMU in extended interrupt mode"


def _each(guest: Guest, total: int) -> Iterator[str]:
    states = guest.vcpu_list
    ids = [vcpu.id for vcpu in states]
    if len(set(ids)) != len(ids):
        yield "<vcpus>: an id is said twice"
    for vcpu in states:
        if vcpu.id >= total:
            yield f"<vcpu id='{vcpu.id}'>: beyond <vcpu>"
        if vcpu.id == 0 and not vcpu.enabled:
            yield "<vcpu id='0'>: the first cannot be off"
        if vcpu.id == 0 and vcpu.hotpluggable:
            yield "<vcpu id='0'>: the first cannot be hot-pluggable"
        if not vcpu.enabled and vcpu.hotpluggable is False:
            yield f"<vcpu id='{vcpu.id}'>: one that is off must be hot-pluggable"
    orders = [vcpu.order for vcpu in states if vcpu.enabled and vcpu.order]
    if len(set(orders)) != len(orders):
        yield "<vcpus>: an order is said twice"
    if orders and len(orders) != sum(1 for vcpu in states if vcpu.enabled):
        yield "<vcpus>: some have an order, and some have none"
    enabled = sum(1 for vcpu in states if vcpu.enabled)
    if states and guest.vcpu_current is not None and enabled != guest.vcpu_current:
        yield f"<vcpus>: {enabled} are on, but <vcpu> says current='{guest.vcpu_current}'"


def check_iothreads(guest: Guest, caps: Capabilities) -> Iterator[str]:
    """Reasons that lie in <iothreads>, <iothreadids> and <defaultiothread>."""
    ids = [thread.id for thread in guest.iothread_ids]
    if len(set(ids)) != len(ids):
        yield "<iothreadids>: an id is said twice"
    if (guest.iothreads or ids) and not caps.has_type("iothread"):
        yield Lacking("<iothreads>: this QEMU has none")
    pools = [(f"<iothread id='{thread.id}'>", thread.pool_min, thread.pool_max) for thread in guest.iothread_ids]
    if guest.default_iothread is not None:
        pools.append(("<defaultiothread>", guest.default_iothread.pool_min, guest.default_iothread.pool_max))
        if not caps.has_type("main-loop"):
            yield Lacking("<defaultiothread>: this QEMU cannot")
    for what, least, most in pools:
        if least is not None and (most is None or least > most):
            yield f"{what}: thread_pool_min is above thread_pool_max"
        if most == 0:
            yield f"{what}: thread_pool_max is zero"
        if (least, most) != (None, None) and not pool_sizes(caps):
            yield Lacking(f"{what}: this QEMU knows no sizes of thread pools")


def pool_sizes(caps: Capabilities) -> bool:
    """Whether I/O threads have pools whose size can be set."""
    return caps.has_schema("object-add/arg-type/qom-type=iothread/thread-pool-max")


def check_tuning(guest: Guest) -> Iterator[str]:
    """Reasons that lie in <cputune>, <blkiotune> and <memtune>."""
    if guest.mem_tune and guest.mem_tune.min_guarantee is not None:
        yield "<min_guarantee>: QEMU cannot guarantee memory"
    paths = [device.path for device in guest.blkio_tune.devices] if guest.blkio_tune else []
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield f"<blkiotune>: two <device> for {path}"
    tune = guest.cpu_tune
    if tune is None:
        return
    yield from _bandwidth(tune)
    yield from _pins(guest, tune)
    beyond = {number for sched in tune.vcpu_scheds for number in sched.vcpus} - set(range(guest.vcpus or 1))
    for number in sorted(beyond):
        yield f"<vcpusched>: there is no vCPU {number}"
    yield from _schedulers(tune.vcpu_scheds, "vcpus")
    yield from _schedulers(tune.iothread_scheds, "iothreads")
    if tune.emulator_sched is not None:
        yield from _priority(tune.emulator_sched)
    yield from _caches(tune)
    yield from _memory(tune)
    for cached in tune.caches:
        if _crossing(cached.vcpus, [shared.vcpus for shared in tune.memory]):
            yield "<memorytune>: shares some vCPUs with a <cachetune>, but not all"
    sharing = [shared.vcpus for shared in tune.caches] + [shared.vcpus for shared in tune.memory]
    if any(_crossing(measured.vcpus, sharing) for measured in tune.energy):
        yield "<energytune>: shares some vCPUs with a <cachetune> or <memorytune>, but not all"


def _bandwidth(tune: CpuTune) -> Iterator[str]:
    for name in ("period", "global_period", "emulator_period", "iothread_period"):
        value = getattr(tune, name)
        if value and not 1000 <= value <= 1000000:
            yield f"<{name}>: not within 1000 and 1000000 microseconds"
    for name in ("quota", "global_quota", "emulator_quota", "iothread_quota"):
        value = getattr(tune, name)
        if value and value > 0 and not 1000 <= value <= 17592186044415:
            yield f"<{name}>: not negative, nor at least 1000 microseconds"


def _pins(guest: Guest, tune: CpuTune) -> Iterator[str]:
    vcpus = [pin.vcpu for pin in tune.vcpu_pins]
    if len(set(vcpus)) != len(vcpus):
        yield "<vcpupin>: a vCPU is pinned twice"
    threads = [pin.iothread for pin in tune.iothread_pins]
    if len(set(threads)) != len(threads):
        yield "<iothreadpin>: an I/O thread is pinned twice"
    there = {thread.id for thread in guest.all_iothreads()}
    for number in sorted(set(threads) - there):
        yield f"<iothreadpin iothread='{number}'>: there is no such I/O thread"
    scheduled = {number for sched in tune.iothread_scheds for number in sched.iothreads}
    for number in sorted(scheduled - there):
        yield f"<iothreadsched>: there is no I/O thread {number}"
    sets = [pin.cpus for pin in tune.vcpu_pins] + [pin.cpus for pin in tune.iothread_pins]
    sets += [entry.vcpus for entry in tune.tunes()]
    if not all(sets) or (tune.emulator_pin is not None and not tune.emulator_pin.cpus):
        yield "<cputune>: a set names no CPU"


def _schedulers(scheds: Sequence[VcpuSched] | Sequence[IothreadSched], field: str) -> Iterator[str]:
    numbers = [number for sched in scheds for number in getattr(sched, field)]
    if len(set(numbers)) != len(numbers):
        yield f"<{scheds[0].tag} {field}>: one of them is in two elements"
    for sched in scheds:
        yield from _priority(sched)


def _priority(sched: VcpuSched | IothreadSched | EmulatorSched) -> Iterator[str]:
    if sched.scheduler in REAL_TIME and sched.priority is None:
        yield f"<{sched.tag} scheduler='{sched.scheduler}'>: priority is missing"
    elif sched.scheduler in REAL_TIME and sched.priority not in PRIORITIES:
        yield f"<{sched.tag} priority='{sched.priority}'>: not from {PRIORITIES[0]} to {PRIORITIES[-1]}"


def _crossing(vcpus: tuple[int, ...], others: list[tuple[int, ...]]) -> bool:
    """Whether one of the others has some of these vCPUs, and is not for the same ones."""
    return any(set(vcpus) & set(other) and vcpus != other for other in others)


def _caches(tune: CpuTune) -> Iterator[str]:
    yield from _overlap("cachetune", [entry.vcpus for entry in tune.caches])
    for entry in tune.caches:
        keys = [(share.level, share.id, share.type) for share in entry.caches]
        if len(set(keys)) != len(keys):
            yield "<cachetune>: the same cache twice"
        for level, number, _ in keys:
            if (level, number, "both") in keys and sum(1 for key in keys if key[:2] == (level, number)) > 1:
                yield f"<cachetune>: cache {number} of level {level} is shared as a whole and in parts"
        if any(not share.size for share in entry.caches):
            yield "<cachetune>: a share of a cache is missing its size, or has none"
    yield from _overlap("energytune", [entry.vcpus for entry in tune.energy])
    for measured in tune.tunes():
        yield from _monitors(measured)
    yield from _shared_monitors(tune)


def _monitors(entry: Tune) -> Iterator[str]:
    monitors = [monitor.vcpus for monitor in entry.monitors]
    for vcpus in monitors:
        if not vcpus or not set(vcpus) <= set(entry.vcpus):
            yield f"<monitor>: vCPUs that its <{entry.tag}> does not have"
    if len(set(monitors)) != len(monitors):
        yield "<monitor>: two of them for the same vCPUs"


def _shared_monitors(tune: CpuTune) -> Iterator[str]:
    """What elements for the same vCPUs ask for is one share: a thread of it is measured by the whole, and by one part."""
    together: dict[tuple[int, ...], set[frozenset[int]]] = {}
    for entry in tune.tunes():
        parts = {frozenset(monitor.vcpus) for monitor in entry.monitors} - {frozenset(entry.vcpus)}
        together.setdefault(entry.vcpus, set()).update(parts)
    for found in together.values():
        if len(frozenset().union(*found)) != sum(map(len, found)):
            yield "<monitor>: two of them share some vCPUs"


def _memory(tune: CpuTune) -> Iterator[str]:
    yield from _overlap("memorytune", [entry.vcpus for entry in tune.memory])
    for entry in tune.memory:
        ids = [node.id for node in entry.nodes]
        if len(set(ids)) != len(ids):
            yield "<memorytune>: a node is named twice"
        if any(not 1 <= node.bandwidth <= 100 for node in entry.nodes):
            yield "<memorytune>: a bandwidth is not a percentage"


def _overlap(name: str, sets: list[tuple[int, ...]]) -> Iterator[str]:
    seen: set[int] = set()
    for vcpus in sets:
        if seen & set(vcpus):
            yield f"<{name}>: vCPUs are in two elements"
        seen |= set(vcpus)
