"""Messages drawn at random from their descriptors, of any fields, depth and size, and damaged bytes."""

import random
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_DEEPEST: Final = 24  # of records within records; protobuf's own limit is 100
_NUMBERS: Final = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    3.4e38,
    -3.4e38,
    1e-45,
    float("nan"),
    float("inf"),
    -float("inf"),
)
_WHOLE: Final = (
    0,
    1,
    -1,
    2,
    10,
    1_000,
    1_001,
    2**31 - 1,
    -(2**31),
    2**63 - 1,
    -(2**63),
    2**32 - 1,
    2**64 - 1,
)
_TEXTS: Final = (
    "", "a", "fashion", "items", "plain", "../../etc/passwd", "%2e%2e", "a\x00b", "\u202eion", "x" * 5_000,
    "f" * 64, "0" * 64, "production", "category", "스커트", "💥" * 50, "{}", "' OR 1=1 --", "\n\r\t", "-1",
)  # fmt: skip


class Drawing:
    """Draws messages.

    spaces: identifiers that are known, so that a request passes its first check. pictures: bytes that decode.
    """

    def __init__(self, seed: int, *, spaces: tuple[str, ...], pictures: tuple[bytes, ...]) -> None:
        self.random = random.Random(seed)
        self._texts = (*_TEXTS, *spaces)
        self._pictures = pictures

    def request(self, method: Any) -> bytes:
        """The bytes of a request of a method; one in five is cut, flipped or padded."""
        data = self.message(GetMessageClass(method.input_type)(), 0).SerializeToString()
        return self._damaged(data) if self.random.random() < 0.2 else data

    def message(self, message: Message, depth: int) -> Message:
        """The message with some of its fields set."""
        share = self.random.choice((0.2, 0.5, 0.9)) / (1 + depth / 4)
        for field in message.DESCRIPTOR.fields:
            if self.random.random() < share:
                self._set(message, field, depth)
        return message

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        whole = field.message_type
        if whole is not None and whole.GetOptions().map_entry:
            for _ in range(self.random.choice((1, 2, 5))):
                self._enter(message, field, self._texts[self.random.randrange(len(self._texts))], depth)
        elif field.is_repeated:
            self._extend(getattr(message, field.name), field, depth)
        elif whole is not None:
            if depth < _DEEPEST:
                self.message(getattr(message, field.name), depth + 1)
        else:
            setattr(message, field.name, self._value(field))

    def _enter(self, message: Message, field: FieldDescriptor, key: str, depth: int) -> None:
        entries, value = getattr(message, field.name), field.message_type.fields_by_name["value"]
        if value.message_type is None:
            entries[key] = self._value(value)
        elif depth < _DEEPEST:
            self.message(entries[key], depth + 1)

    def _extend(self, entries: Any, field: FieldDescriptor, depth: int) -> None:
        count = self.random.choice((1, 1, 2, 5, 40, 200))
        if field.message_type is None:
            entries.extend([self._value(field) for _ in range(count)])
        elif depth < _DEEPEST:
            for _ in range(min(count, 40 >> min(depth, 5)) or 1):
                self.message(entries.add(), depth + 1)

    def _value(self, field: FieldDescriptor) -> Any:
        draw = self.random
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING:
                return self._bytes() if field.type == FieldDescriptor.TYPE_BYTES else draw.choice(self._texts)
            case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
                return draw.choice((*_NUMBERS, draw.uniform(-2, 2)))
            case FieldDescriptor.CPPTYPE_BOOL:
                return draw.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return draw.choice((*(value.number for value in field.enum_type.values), 99))
            case FieldDescriptor.CPPTYPE_UINT32 | FieldDescriptor.CPPTYPE_INT32:
                bits, low = 32, 0 if field.cpp_type == FieldDescriptor.CPPTYPE_UINT32 else -(2**31)
            case _:
                bits, low = 64, 0 if field.cpp_type == FieldDescriptor.CPPTYPE_UINT64 else -(2**63)
        return min(max(draw.choice(_WHOLE), low), 2**bits - 1 + low)

    def _bytes(self) -> bytes:
        picture = self.random.choice(self._pictures)
        return self.random.choice((b"", b"x", picture, self._damaged(picture), self.random.randbytes(300)))

    def _damaged(self, data: bytes) -> bytes:
        draw, changed = self.random, bytearray(data or b"\x0a")
        match draw.randrange(4):
            case 0:
                return bytes(changed[: draw.randrange(len(changed))])
            case 1:
                for _ in range(draw.randint(1, 8)):
                    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
            case 2:
                changed += draw.randbytes(draw.randint(1, 64))
            case _:
                changed[:0] = b"\x0b" * draw.choice((1, 150))  # groups without an end, deeper than allowed
        return bytes(changed)
