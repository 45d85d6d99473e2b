"""Lists of CPUs, however odd."""

from __future__ import annotations

import pytest

from frontinus.client.cpulist import cpus


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-3,^2,8", {0, 1, 3, 8}),
        (" 1 , 3 ", {1, 3}),
        ("", set()),
        ("x,1-,^,-", {1}),
        ("2-1", set()),
        ("0-99999999999", set(range(10))),
        ("5-7,12", {5, 6, 7}),
    ],
)
def test_lists_of_cpus(text: str, expected: set[int]) -> None:
    assert cpus(text, 10) == expected
