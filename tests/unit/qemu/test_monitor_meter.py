"""The meter of the monitors' traffic."""

from __future__ import annotations

from frontinus.qemu.monitor.meter import BOUNDS, Meter


def test_a_batch_is_counted_once_in_its_bucket() -> None:
    meter = Meter()
    meter.began(3)
    assert meter.view().waiting == 1
    meter.ended(0.003)
    meter.began(1)
    meter.ended(60.0)
    told = meter.view()
    assert (told.commands, told.waiting, told.seconds) == (4, 0, 60.003)
    assert told.latency is not None and len(told.latency.counts) == len(BOUNDS) + 1
    counted = {bound: count for bound, count in zip((*BOUNDS, None), told.latency.counts, strict=True) if count}
    assert counted == {5_000_000: 1, None: 1}
