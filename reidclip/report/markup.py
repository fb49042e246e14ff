"""HTML and SVG from Python: what is text is escaped, always; only what these functions made is markup."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any


class Html(str):
    """Markup that may stand in a page as it is."""

    __slots__ = ()


Content = str | int | float | None | Iterable["Content"]
_VOID = frozenset(("br", "img", "input", "meta", "link"))
"""Elements of HTML that have no end."""


def element(name: str, /, *content: Content, **attributes: str | int | float | bool | None) -> Html:
    """An element: ``element("p", "a < b", class_="note")`` -> ``<p class="note">a &lt; b</p>``.

    Args:
        name: of the element.
        content: text, which is escaped, or `Html`, or several of both; None is nothing.
        attributes: `_` stands for `-`, one at the end is left out (``for_``, ``class_``); True writes the bare name, False and None
            leave the attribute out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{_joined(content)}</{name}>")


def joined(*content: Content) -> Html:
    """Pieces one after the other."""
    return Html(_joined(content))


def text(value: object) -> Html:
    """Text, escaped; what UTF-8 cannot hold (undecodable bytes of a file name) becomes ``\\udc..``."""
    return Html(html.escape(str(value).encode("utf-8", "backslashreplace").decode("utf-8"), quote=True))


def json_block(value: Any, name: str) -> Html:
    """Data for the page's script: JSON in which no ``<``, ``>`` or ``&`` stands, so that nothing in it ends the block."""
    data = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    return Html(f'<script type="application/json" id="{text(name)}">{data}</script>')


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(value)}"'


def _joined(content: Iterable[Content]) -> str:
    return "".join(_piece(piece) for piece in content)


def _piece(piece: Content) -> str:
    if piece is None:
        return ""
    if isinstance(piece, Html):
        return str(piece)
    if isinstance(piece, (str, int, float)):
        return str(text(piece))
    return _joined(piece)
