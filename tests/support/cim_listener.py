"""pywbem's receiver of indications, and subscribing to them."""

from __future__ import annotations

import asyncio
from typing import Any

import pywbem
from pywbem import CIMInstance, CIMInstanceName

from support.cim import Provider
from support.ports import free_port

INTEROP = "root/interop"


class Listener:
    """pywbem's receiver."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[CIMInstance] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self.port = free_port()
        self._listener = pywbem.WBEMListener("127.0.0.1", http_port=self.port)
        self._listener.queue_get_timeout = 0.05  # how long it looks once more before it stops: two seconds by default
        self._listener.add_callback(lambda found, host: loop.call_soon_threadsafe(self._heard.put_nowait, found))
        self._listener.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def next(self, cls: str) -> CIMInstance:
        """The next indication of a class."""
        async with asyncio.timeout(60):
            while (found := await self._heard.get()).classname != cls:
                pass
            return found

    async def any(self) -> CIMInstance:
        """The next indication."""
        return await asyncio.wait_for(self._heard.get(), 60)

    def stop(self) -> None:
        self._listener.stop()


async def create(cim: Provider, cls: str, **values: Any) -> CIMInstanceName:
    return await cim.ask("CreateInstance", CIMInstance(cls, values), namespace=INTEROP)


async def subscribe(cim: Provider, url: str, text: str, name: str = "a", **more: Any) -> tuple[CIMInstanceName, ...]:
    """Filter, receiver and subscription; their paths."""
    wanted = await create(cim, "CIM_IndicationFilter", Name=f"filter-{name}", Query=text, QueryLanguage="WQL")
    handler = await create(cim, "CIM_ListenerDestinationCIMXML", Name=f"handler-{name}", Destination=url)
    return wanted, handler, await create(cim, "CIM_IndicationSubscription", Filter=wanted, Handler=handler, **more)
