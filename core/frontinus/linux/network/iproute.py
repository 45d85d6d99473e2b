"""The kernel's links, addresses, routes and traffic control by pyroute2, imported when it is first needed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from frontinus.linux.failing import failing


@contextlib.contextmanager
def iproute(doing: str, what: str) -> Iterator[Any]:
    """A connection for one piece of work; its errors become HostFailed: "cannot DOING WHAT: the kernel's reason"."""
    from pyroute2 import IPRoute  # type: ignore[attr-defined]
    from pyroute2.netlink.exceptions import NetlinkError

    with failing(doing, what):
        try:
            with IPRoute() as ip:  # type: ignore[no-untyped-call]
                yield ip
        except NetlinkError as error:
            raise OSError(error.code, os.strerror(error.code)) from error
