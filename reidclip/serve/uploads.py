"""A search as it arrives: a form of several parts, read piece by piece into memory that is bounded; nothing touches the disk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from reidclip.serve.refusal import Refusal
from reidclip.serve.settings import MEGABYTE, ServeSettings

FIELDS_BYTES = 128_000  # of all but the picture: fields, headers, and the lines between
_PICTURE = "picture"
_FORM_REMEDY = "Send multipart/form-data with a part 'picture' or a field 'item'."


@dataclass
class Form:
    """What was sent.

    Attributes:
        fields: texts by name, in their order.
        picture: content of the file, None where none was sent.
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    picture: bytes | None = None


async def read_form(request: Request, settings: ServeSettings) -> Form:
    """Read the request's body, and stop at the first byte too many.

    Raises:
        Refusal: 413 too large, 408 too slow, 415 no form, 400 a broken one.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refusal(415, "The search is no form of several parts.", _FORM_REMEDY)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > settings.max_upload + FIELDS_BYTES:
        raise too_large(settings)
    try:
        reader = _Reader(options[b"boundary"], settings)
        await asyncio.wait_for(reader.read(request), settings.timeout)
    except asyncio.TimeoutError:
        raise Refusal(408, f"The picture took longer than {settings.timeout:g} s to arrive.", "Send a smaller one.") from None
    except (FormParserError, ValueError) as error:
        raise Refusal(400, "The form is broken or cut off.", _FORM_REMEDY) from error
    except ClientDisconnect:
        raise Refusal(400, "The form was cut off.") from None
    return reader.form


def too_large(settings: ServeSettings) -> Refusal:
    """A picture of more bytes than are allowed."""
    return Refusal(413, f"The picture is larger than {settings.max_upload / MEGABYTE:g} MB.", "Crop the person, or save it smaller.")


class _Reader:
    """Callbacks of the parser: the part under way, and how much all of them may still hold."""

    def __init__(self, boundary: bytes, settings: ServeSettings) -> None:
        self.form = Form()
        self._settings = settings
        self._received = self._of_picture = 0
        self._ended = False
        self._header, self._value, self._headers = bytearray(), bytearray(), dict[bytes, bytes]()
        self._name, self._data = "", bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._named,
                "on_part_data": self._more,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    async def read(self, request: Request) -> None:
        """All of the body."""
        async for piece in request.stream():
            self._received += len(piece)
            self._parser.write(piece)
            if self._received - self._of_picture > FIELDS_BYTES:
                raise Refusal(413, "The form is too long, besides its picture.", _FORM_REMEDY)
        self._parser.finalize()
        if not self._ended:
            raise ValueError("no last boundary")

    def _begin(self) -> None:
        self._headers, self._name, self._data = {}, "", bytearray()

    def _header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _named(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == _PICTURE and self.form.picture is not None:
            raise Refusal(400, "The form holds several pictures.", "Send one: each is a search of its own.")

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._data.extend(data[start:end])
        if self._name == _PICTURE:
            self._of_picture += end - start
            if self._of_picture > self._settings.max_upload:
                raise too_large(self._settings)

    def _part_end(self) -> None:
        if self._name == _PICTURE:
            self.form.picture = bytes(self._data)
        else:
            self.form.fields.setdefault(self._name, []).append(self._data.decode("utf-8", "replace"))
        self._data = bytearray()

    def _end(self) -> None:
        self._ended = True
