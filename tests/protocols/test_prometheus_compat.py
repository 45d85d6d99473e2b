"""The names and labels of other exporters: what dashboards made for them ask for is there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from frontinus_prometheus.compat import COMPAT
from support.exporter import Exporter, exporter

UUID = "0c5b1d8e-0000-4000-8000-000000000042"
XML = f"""
<domain type='qemu'>
  <name>instance-42</name><uuid>{UUID}</uuid><memory unit='MiB'>512</memory><vcpu>2</vcpu>
  <metadata>
    <nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>
      <nova:name>shop</nova:name><nova:flavor name='m1.small'/>
      <nova:owner><nova:user uuid='u-1'>ann</nova:user><nova:project uuid='p-1'>store</nova:project></nova:owner>
      <nova:root type='image' uuid='r-1'/>
    </nova:instance>
  </metadata>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' discard='unmap'/><source file='/img/a.qcow2'/>
      <target dev='vda' bus='virtio'/><serial>s-1</serial>
      <iotune><total_bytes_sec>1000</total_bytes_sec><read_iops_sec>20</read_iops_sec></iotune>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:42'/><source bridge='br-int'/><target dev='tap42'/><model type='virtio'/>
    </interface>
    <interface type='user'><mac address='52:54:00:00:00:43'/><model type='virtio'/></interface>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def expand(pattern: str) -> list[str]:
    """All names of a pattern with {a,b}."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    return [n for word in found[1].split(",") for n in expand(pattern[: found.start()] + word + pattern[found.end() :])]


NIC = "interface_stats_{receive,transmit}_{bytes,packets,errors,drops}_total"
NOVA = "domain instanceName instanceId flavorName userName userId projectName projectId host"

# name patterns (after libvirt_, or libvirt_domain_ for all but those with a bang) and labels, for what this guest has
EXPECTED: dict[str, dict[str, str]] = {
    "inovex": {
        "!{up,domains}": "",
        "!storage_pool_{state,capacity_bytes,allocation_bytes,available_bytes,timed_out}": "storage_pool",
        "info": "domain os_type os_type_arch os_type_machine",
        "openstack_info": "domain instance_name instance_id flavor_name user_name user_id project_name project_id",
        "info_state": "domain state_desc",
        "info_{maximum_memory_bytes,memory_usage_bytes,virtual_cpus,cpu_time_seconds_total}": "domain",
        "timed_out": "domain",
        "vcpu_{current,maximum}": "domain",
        "vcpu_{time_seconds_total,wait_seconds_total,delay_seconds_total,state}": "domain vcpu",
        "memory_stats_{current_balloon_bytes,maximum_bytes,rss_bytes,last_update_timestamp_seconds}": "domain",
        "block_stats_info": "domain disk_type target_bus driver_name driver_type driver_cache driver_discard source_file "
        "target_device serial",
        "block_stats_{read,write}_{bytes,requests}_total": "domain target_device",
        "block_stats_{read_time_seconds,write_time_seconds,flush_time_seconds,flush_requests}_total": "domain target_device",
        "block_stats_capacity_bytes": "domain target_device",
        "interface_stats_info": "domain interface_type source_bridge target_device mac_address model_type",
        NIC: "domain target_device",
    },
    "tinkoff": {
        "!up": "",
        "!versions_info": "hypervisor_running libvirtd_running libvirt_library",
        "!pool_info_{capacity_bytes,allocation_bytes,available_bytes}": "pool",
        "info_meta": "domain uuid instance_name flavor user_name user_uuid project_name project_uuid root_type root_uuid",
        "info_{maximum_memory_bytes,memory_usage_bytes,virtual_cpus,cpu_time_seconds_total,vstate}": "domain",
        "vcpu_{time_seconds_total,wait_seconds_total,delay_seconds_total,state}": "domain vcpu",
        "block_meta": "domain target_device source_file serial bus disk_type driver_type cache discard",
        "block_stats_{read,write}_{bytes,requests}_total": "domain target_device",
        "block_stats_{read_time_seconds,write_time_seconds,flush_time_seconds,flush_requests}_total": "domain target_device",
        "block_stats_{allocation,capacity_bytes,physicalsize_bytes,size_iops_bytes}": "domain target_device",
        "block_stats_limit_{total,write,read}_{bytes,requests}": "domain target_device",
        "block_stats_limit_burst_{total,write,read}_{bytes,requests,bytes_length_seconds}": "domain target_device",
        "block_stats_limit_burst_length_{total,write,read}_requests_seconds": "domain target_device",
        "interface_meta": "domain source_bridge target_device",
        NIC: "domain target_device",
        "memory_stats_{actual_balloon_bytes,rss_bytes}": "domain",
    },
    "kumina": {
        "!{up,domains_number}": "",
        "state_code": "domain uuid",
        "info_{maximum_memory_bytes,memory_usage_bytes,virtual_cpus,cpu_time_seconds_total}": "domain uuid",
        "block_stats_{read,write}_{bytes,requests}_total": "domain uuid source_file target_device",
        "block_stats_{read,write,flush}_seconds_total": "domain uuid source_file target_device",
        "block_stats_flush_requests_total": "domain uuid source_file target_device",
        NIC: "domain uuid source_bridge target_device",
    },
    "zhang": {
        "!{up,domains_number}": "host",
        "state_code": NOVA + " stateDesc",
        "info_{maximum_memory_bytes,memory_usage_bytes,virtual_cpus,cpu_time_seconds_total}": NOVA,
        "stat_memory_rss_bytes": NOVA,
        "block_stats_{read,write}_{bytes,requests}_total": NOVA + " source_file target_device",
        NIC: NOVA + " source_bridge target_device",
    },
}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Exporter]:
    async with exporter(tmp_path, guests=1) as made:
        await made.engine.create(XML)
        await made.connected()
        yield made


def shown(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by name, of the guest that has everything and of no guest."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for sample in (s for family in parse(text) for s in family.samples):
        if sample.labels.get("domain", "instance-42") == "instance-42":
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.mark.parametrize("profile", list(EXPECTED))
async def test_names_and_labels_are_theirs(rig: Exporter, profile: str) -> None:
    found = shown((await rig.get(f"/metrics/{profile}")).body)
    wanted = {
        f"libvirt_{name[1:]}" if pattern[0] == "!" else f"libvirt_domain_{name}": set(labels.split())
        for pattern, labels in EXPECTED[profile].items()
        for name in expand(pattern)
    }
    assert {name: set(samples[0][0]) for name, samples in found.items()} == wanted


def test_all_profiles_are_expected() -> None:
    assert {profile.name for profile in COMPAT} == set(EXPECTED)


async def test_values_and_descriptions(rig: Exporter) -> None:
    found = shown((await rig.get("/metrics/inovex")).body)
    assert found["libvirt_domain_info_memory_usage_bytes"] == [({"domain": "instance-42"}, 2**29)]
    ((labels, _),) = found["libvirt_domain_block_stats_info"]  # the cdrom is left out
    assert (labels["source_file"], labels["driver_cache"], labels["serial"]) == ("/img/a.qcow2", "none", "s-1")
    ((labels, _),) = found["libvirt_domain_interface_stats_info"]  # so is the interface that has no device
    assert (labels["source_bridge"], labels["model_type"], labels["target_device"]) == ("br-int", "virtio", "tap42")
    ((labels, _),) = found["libvirt_domain_openstack_info"]
    assert (labels["instance_name"], labels["project_id"], labels["flavor_name"]) == ("shop", "p-1", "m1.small")
    ((labels, value),) = found["libvirt_domain_info_state"]
    assert (labels["state_desc"], value) == ("the domain is running", 1)
    limits = shown((await rig.get("/metrics/tinkoff")).body)
    given = {name: value for name, ((labels, value), *_) in limits.items() if "_limit_" in name and value}
    prefix = "libvirt_domain_block_stats_limit_"
    assert given == {f"{prefix}total_bytes": 1000, f"{prefix}read_requests": 20}


async def test_all_guests_and_only_active_ones(rig: Exporter) -> None:
    await rig.engine.destroy("guest-00000")
    await rig.connected()
    inovex, kumina = (await rig.get("/metrics/inovex")).body, (await rig.get("/metrics/kumina")).body
    assert 'libvirt_domain_info_state{domain="guest-00000",state_desc="the domain is shut off"} 5' in inovex
    assert "libvirt_domains 3\n" in inovex
    assert "guest-00000" not in kumina and "libvirt_domains_number 2\n" in kumina


async def test_definitions_are_read_once_and_again_after_a_change(rig: Exporter) -> None:
    asked: list[str] = []
    assert rig.link._engine is not None

    class Counting:
        def __init__(self, engine: object) -> None:
            self._engine = engine

        def __getattr__(self, name: str) -> object:
            asked.append(name)
            return getattr(self._engine, name)

    rig.link._engine = Counting(rig.link._engine)  # type: ignore[assignment]
    for _ in range(3):
        await rig.get("/metrics/zhang")
    assert asked.count("guest_xml") == 3  # one a guest
    await rig.engine.suspend("instance-42")
    await rig.connected()
    await rig.get("/metrics/zhang")
    assert asked.count("guest_xml") == 4
    await rig.get("/metrics")
    assert asked.count("guest_xml") == 4


async def test_native_and_compat_never_mix(rig: Exporter) -> None:
    assert "libvirt_" not in (await rig.get()).body
    for profile in COMPAT:
        assert "frontinus_" not in (await rig.get(f"/metrics/{profile.name}")).body
    assert (await rig.get("/metrics/nobody")).status == 404
