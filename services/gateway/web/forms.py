"""A form as it arrives: its parts kept apart and within their bounds, nothing written anywhere (S-5)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.gateway.web.problems import HttpProblem
from services.runtime.errors import InvalidArgument, ResourceExhausted
from services.runtime.limits import MIB, Limits

REQUEST_PART: Final = "request"
_REQUEST_PART_BYTES: Final = 4 * MIB
_LONGEST_NAME: Final = 128
_UNPRINTABLE: Final = re.compile(r"[^\w .,()+@%&=~^$#!\[\]{}-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An uploaded picture. name: of the sender's file, without folders; for answers, never a path."""

    data: bytes
    name: str


@dataclass(slots=True)
class Body:
    """What a request holds: its JSON, `{}` if it has none, and its pictures by the name of their part."""

    json: bytes = b"{}"
    pictures: dict[str, list[Upload]] = field(default_factory=dict)

    def only(self, part: str) -> bytes | None:
        """The one picture of a part; None without one."""
        held = self.pictures.get(part)
        return held[0].data if held else None

    def all(self, part: str) -> list[Upload]:
        """The pictures of a part."""
        return self.pictures.get(part, [])


class Form:
    """A form as it arrives: its parts kept apart, each within its bound."""

    def __init__(self, boundary: bytes, parts: Mapping[str, int], limits: Limits) -> None:
        if not boundary:
            raise HttpProblem(400, InvalidArgument("the form has no boundary", reason="MALFORMED_FORM"))
        self._parts = parts
        self._limits = limits
        self._body = Body()
        self._name = self._file = ""
        self._data = bytearray()
        self._most = 0
        self._header, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._ended = False
        self._hooks = self._callbacks()
        try:
            self._parser = MultipartParser(boundary, self._hooks)  # type: ignore[arg-type]
        except FormParserError:
            raise HttpProblem(
                400, InvalidArgument("the form's boundary is malformed", reason="MALFORMED_FORM")
            ) from None

    def feed(self, piece: bytes) -> None:
        """Take what came. Raises HttpProblem, FormParserError."""
        self._parser.write(piece)

    def close(self) -> None:
        """Let go of everything, which would otherwise wait for a collection of cycles."""
        self._hooks.clear()
        self._body.pictures.clear()
        self._data.clear()

    def finish(self) -> Body:
        """The whole form. Raises HttpProblem: if it ended early."""
        if not self._ended:
            raise HttpProblem(400, InvalidArgument("the form is cut off", reason="MALFORMED_FORM"))
        return self._body

    def _callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take,
            "on_part_end": self._end,
            "on_end": self._end_form,
        }

    def _begin(self) -> None:
        self._headers, self._data = {}, bytearray()

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self._file = options.get(b"filename", b"").decode("utf-8", "replace")
        if name == REQUEST_PART:
            self._most = _REQUEST_PART_BYTES
        elif name in self._parts:
            self._check_count(name)
            self._most = self._limits.image_bytes
        else:
            known = ", ".join((REQUEST_PART, *self._parts))
            text = f"the form has a part of another name than {known}"
            raise HttpProblem(400, InvalidArgument(text, reason="UNKNOWN_PART"))
        self._name = name

    def _check_count(self, name: str) -> None:
        most = self._parts[name]
        if len(self._body.all(name)) >= most:
            raise too_large(f"more than {most} parts {name}", reason="TOO_MANY_PICTURES")
        if sum(map(len, self._body.pictures.values())) >= self._limits.message_images:
            bound = self._limits.message_images
            raise too_large(f"the form has more than {bound} pictures", reason="TOO_MANY_PICTURES")

    def _take(self, data: bytes, start: int, end: int) -> None:
        if len(self._data) + end - start > self._most:
            what = f"part {self._name} {len(self._body.all(self._name))}"
            raise too_large(f"{what} has more than {self._most} bytes", reason="PART_TOO_LARGE")
        self._data += memoryview(data)[start:end]

    def _end(self) -> None:
        data, self._data = bytes(self._data), bytearray()
        if self._name == REQUEST_PART:
            self._body.json = data
        else:
            picture = Upload(data=data, name=shown_name(self._file))
            self._body.pictures.setdefault(self._name, []).append(picture)

    def _end_form(self) -> None:
        self._ended = True


def shown_name(file: str) -> str:
    """A sender's file name without its folders and without what could be mistaken for anything but a name."""
    last = re.split(r"[/\\]", file)[-1].strip()
    return _UNPRINTABLE.sub("_", last)[:_LONGEST_NAME]


def too_large(text: str, reason: str = "BODY_TOO_LARGE") -> HttpProblem:
    """The problem of a body that exceeds a bound."""
    return HttpProblem(413, ResourceExhausted(text, reason=reason))
