"""The bounds that every service and client enforces (S-5, S-7); `GetLimits` publishes them."""

from typing import Final

from atelier.types.v1 import types_pb2
from pydantic import BaseModel, ConfigDict, Field

from inference.attributes import MOST_TERMS

MIB: Final = 1 << 20
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
