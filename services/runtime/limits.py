"""The bounds that every service and client enforces (S-5, S-7), which `GetLimits` publishes; open files."""

import resource
from contextlib import suppress
from typing import Final

from atelier.types.v1 import types_pb2
from pydantic import BaseModel, ConfigDict, Field

from inference.attributes import MOST_TERMS

MIB: Final = 1 << 20
_OWN_FILES: Final = 256  # for everything but callers: models, databases, logs, calls to other services
_MANY_CONNECTIONS: Final = 4_096
RECORD_BYTES: Final = 256 << 10  # of an attribute record as a message; a larger one is refused unread


class Limits(BaseModel):
    """The bounds of every service and every client."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_bytes: int = Field(default=10 * MIB, ge=1)
    image_pixels: int = Field(default=50_000_000, ge=1)
    image_frames: int = Field(default=256, ge=1)
    message_images: int = Field(default=128, ge=1)
    message_bytes: int = Field(default=64 * MIB, ge=1)
    rank_candidates: int = Field(default=1_000, ge=1)
    item_count: int = Field(default=1_000, ge=1)


def to_message(limits: Limits, default_deadline_s: float) -> types_pb2.Limits:
    """The bounds as `GetLimits` reports them."""
    return types_pb2.Limits(
        **limits.model_dump(),
        attribute_terms=MOST_TERMS,
        default_deadline_ms=round(default_deadline_s * 1_000),
    )


def raise_file_limit() -> None:
    """Let this process open as many files as the machine allows it: each caller's connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS allows less than its own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections() -> int:
    """Connections that a server accepts at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(soft - _OWN_FILES, soft // 2)


def idle_s(seconds: float) -> float:
    """Seconds after which a connection without calls ends: fewer than `seconds` where connections are few.

    Whoever holds them all open keeps even health out until some end.
    """
    return seconds * min(1.0, most_connections() / _MANY_CONNECTIONS)
