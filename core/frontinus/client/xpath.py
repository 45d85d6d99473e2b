"""What an XPath expression finds in a document, as virsh prints it."""

from __future__ import annotations

from lxml import etree

from frontinus.api.errors import InvalidValue


def found(xml: str, expression: str, *, wrap: bool = False) -> str:
    """Elements as XML, attributes and texts as they are, a line each. Raises InvalidValue for a wrong expression or none found."""
    try:
        result = etree.fromstring(xml).xpath(expression)
    except etree.XPathError as error:
        raise InvalidValue(f"XPath '{expression}': {error}", field="xpath") from None
    nodes = result if isinstance(result, list) else [result]
    if not nodes:
        raise InvalidValue(f"XPath '{expression}' finds nothing", field="xpath")
    lines = [_shown(node) for node in nodes]
    return "\n".join(["<nodes>", *lines, "</nodes>"] if wrap else lines)


def _shown(node: object) -> str:
    return etree.tostring(node, encoding="unicode", with_tail=False) if isinstance(node, etree._Element) else str(node)
