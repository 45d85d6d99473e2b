"""Properties of devices that the user replaces by alias: the <qemu:override> element."""

from __future__ import annotations

from collections.abc import Sequence

from frontinus.api.errors import InvalidXML
from frontinus.domain.passthrough import Override, Property
from frontinus.qemu.argv.context import Item


def override(items: Sequence[Item], wish: Override | None) -> list[Item]:
    """The items with the properties of named devices replaced. Raises InvalidXML for a device that is not there."""
    wanted = {device.alias: device.properties for device in wish.devices} if wish else {}
    done = [_replaced(item, wanted) for item in items]
    if wanted:
        raise InvalidXML(f"<qemu:override>: no device has the alias '{next(iter(wanted))}'", element="override")
    return done


def _replaced(item: Item, wanted: dict[str, list[Property]]) -> Item:
    if item.option != "device" or not isinstance(item.value, dict) or item.value.get("id") not in wanted:
        return item
    props: dict[str, object] = dict(item.value)
    for change in wanted.pop(str(props["id"])):
        if change.type == "remove":
            props.pop(change.name, None)
        else:
            props[change.name] = _value(change)
    return Item(item.option, props)


def _value(change: Property) -> object:
    text = change.value or ""
    try:
        if change.type in ("signed", "unsigned"):
            number = int(text.replace("_", "no digit"), 0)
            if change.type == "unsigned" and number < 0:
                raise ValueError
            return number
    except ValueError:
        raise InvalidXML(f"<qemu:property name='{change.name}'>: '{text}' is no number of its type",
                         element="property") from None  # fmt: skip
    if change.type == "bool":
        if text not in ("true", "false"):
            raise InvalidXML(f"<qemu:property name='{change.name}'>: '{text}' is neither true nor false",
                             element="property")  # fmt: skip
        return text == "true"
    return text
