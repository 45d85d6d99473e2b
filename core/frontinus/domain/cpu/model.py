"""The guest's CPU: the <cpu> element but for its NUMA cells."""

from __future__ import annotations

from frontinus.domain.numa import Numa
from frontinus.xml import Model, many, one, xml
from frontinus.xml.codecs import OnOff, UInt32, integer, one_of

POLICIES = ("force", "require", "optional", "disable", "forbid")


class CpuModelName(Model, tag="model"):
    """A named CPU model."""

    fallback: str | None = xml("@fallback", one_of("allow", "forbid"))
    vendor_id: str | None = xml("@vendor_id")
    name: str | None = xml("")


class CpuFeature(Model, tag="feature"):
    """One feature of the CPU and what is asked of it."""

    policy: str | None = xml("@policy", one_of(*POLICIES))
    name: str = xml("@name", required=True)


class Topology(Model, tag="topology"):
    """How the vCPUs are laid out; the product is the number of vCPUs."""

    sockets: int = xml("@sockets", integer(1, 2**31), required=True)
    dies: int | None = xml("@dies", integer(1, 2**31))
    clusters: int | None = xml("@clusters", integer(1, 2**31))
    cores: int = xml("@cores", integer(1, 2**31), required=True)
    threads: int = xml("@threads", integer(1, 2**31), required=True)

    @property
    def total(self) -> int:
        """vCPUs in this topology."""
        return self.sockets * (self.dies or 1) * (self.clusters or 1) * self.cores * self.threads


class CpuCache(Model, tag="cache"):
    """What the guest sees of caches."""

    level: int | None = xml("@level", integer(1, 3))
    mode: str = xml("@mode", one_of("emulate", "passthrough", "disable"), required=True)


class PhysicalAddress(Model, tag="maxphysaddr"):
    """Width of physical addresses."""

    mode: str = xml("@mode", one_of("emulate", "passthrough"), required=True)
    bits: int | None = xml("@bits", UInt32)
    limit: int | None = xml("@limit", UInt32)


class Cpu(Model, tag="cpu"):
    """What CPU the guest has."""

    mode: str | None = xml("@mode", one_of("custom", "host-model", "host-passthrough", "maximum"))
    match: str | None = xml("@match", one_of("minimum", "exact", "strict"))
    check: str | None = xml("@check", one_of("none", "partial", "full"))
    migratable: bool | None = xml("@migratable", OnOff)
    deprecated_features: bool | None = xml("@deprecated_features", OnOff)
    model: CpuModelName | None = one("model", CpuModelName)
    vendor: str | None = xml("vendor")
    maxphysaddr: PhysicalAddress | None = one("maxphysaddr", PhysicalAddress)
    topology: Topology | None = one("topology", Topology)
    cache: CpuCache | None = one("cache", CpuCache)
    features: list[CpuFeature] = many("feature", CpuFeature)
    numa: Numa | None = one("numa", Numa)
