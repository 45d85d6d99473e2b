"""What a permission on a pool, volume or secret is asked for, in the words of libvirt's polkit rules."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import FrontinusError
from frontinus.engine.storage.poolbook import PoolRecord
from frontinus.engine.world import World
from frontinus.storage.secret import Secret
from frontinus.storage.volume import Volume


def stored_details(world: World, given: Mapping[str, object]) -> dict[str, str]:
    """Facts of the storage object that a call's arguments name; none where there is no such."""
    try:
        return _details(world, {name: value for name, value in given.items() if isinstance(value, str)})
    except FrontinusError:
        return {}


def _details(world: World, given: Mapping[str, str]) -> dict[str, str]:
    if "pool" in given:
        record = world.pools.find(given["pool"])
        return {**_pool(record), **(_volume(record.volumes.get(given.get("volume", ""))))}
    if "secret" in given:
        return secret_details(world.secrets.find(given["secret"]).secret)
    if "usage_type" in given and "usage" in given:
        return secret_details(world.secrets.by_usage(given["usage_type"], given["usage"]).secret)
    wanted = given.get("path"), given.get("key")
    for record in world.pools if any(wanted) else ():
        for volume in record.volumes.values():
            if volume.path == wanted[0] or volume.key == wanted[1]:
                return {**_pool(record), **_volume(volume)}
    return {}


def _pool(record: PoolRecord) -> dict[str, str]:
    return {"pool_name": record.name, "pool_uuid": record.uuid}


def _volume(volume: Volume | None) -> dict[str, str]:
    return {"vol_name": volume.name or "", "vol_key": volume.key or ""} if volume is not None else {}


NAMED_BY = {"volume": "secret_usage_volume", "ceph": "secret_usage_ceph", "iscsi": "secret_usage_target",
            "tls": "secret_usage_name", "vtpm": "secret_usage_name"}  # fmt: skip


def secret_details(secret: Secret) -> dict[str, str]:
    """`secret_usage_target` is what it is for, whatever its type; rules for single types know another name as well."""
    found = {
        "secret_uuid": secret.uuid or "",
        "secret_usage_type": secret.usage_type,
        "secret_usage_target": secret.usage_id,
    }
    if secret.usage_type in NAMED_BY:
        found[NAMED_BY[secret.usage_type]] = secret.usage_id
    return found
