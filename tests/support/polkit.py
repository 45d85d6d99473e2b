"""An authority for tests: it answers on a private bus what a test's rule says, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from frontinus.linux.polkit import AUTHORITY, NAME, PATH
from frontinus_dbus.writing import be_patient

Rule = Callable[[str, Mapping[str, str]], bool | None]
"""Of an action and its details: yes, no, or None where the action is not registered."""


class FakePolkit:
    def __init__(self, address: str, rule: Rule) -> None:
        self.address, self.rule = address, rule
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.flags: list[int] = []
        self.bus: MessageBus | None = None

    async def start(self) -> None:
        self.bus = await MessageBus(bus_address=self.address).connect()
        be_patient(self.bus)
        self.bus.add_message_handler(self._handle)
        await self.bus.request_name(NAME)

    def stop(self) -> None:
        assert self.bus is not None
        self.bus.disconnect()

    async def change(self, rule: Rule) -> None:
        """Other rules from now on, and everybody is told."""
        self.rule = rule
        assert self.bus is not None
        await self.bus.send(Message(message_type=MessageType.SIGNAL, path=PATH, interface=AUTHORITY, member="Changed"))

    def _handle(self, message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL or message.interface != AUTHORITY:
            return False
        _, action, details, flags, _ = message.body
        self.asked.append((action, details))
        self.flags.append(flags)
        said = self.rule(action, details)
        if said is None:
            return Message.new_error(message, "org.freedesktop.PolicyKit1.Error.Failed",
                                     f"Action {action} is not registered")  # fmt: skip
        return Message.new_method_return(message, "(bba{ss})", [[said, False, {}]])
