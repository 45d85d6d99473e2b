"""The table of all values for docs/collectd.md: `python -m frontinus_collectd.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from frontinus_collectd.table import SCOPES


def rows() -> Iterator[str]:
    """One line for each metric."""
    for scope in SCOPES:
        for metric in scope.metrics:
            name = {"pin": "vcpu_N-cpu_M", "vcpu": "N", "disk": "DEV", "interface": "IF"}.get(scope.name, "")
            instance = metric.instance.format(name)
            extra = f"`{metric.extra}`" if metric.extra else "always"
            yield f"| `{metric.type}` | {f'`{instance}`' if instance else ''} | {extra} | {metric.help} |"


if __name__ == "__main__":
    sys.stdout.write("| type | instance | ExtraStats | value |\n|---|---|---|---|\n")
    sys.stdout.writelines(f"{row}\n" for row in rows())
