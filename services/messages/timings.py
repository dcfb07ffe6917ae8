"""What a call spent its time on, by stage."""

from dataclasses import dataclass

from atelier.types.v1 import types_pb2

from services.runtime.context import note


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Milliseconds by stage. Stages of several inputs overlap.

    queue_ms: waiting for a place in a batch. decode_ms: decoding inputs. compute_ms: running graphs.
    hop_ms: waiting for another service beyond the queue, decode and compute that it reports itself.
    """

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    compute_ms: float = 0.0
    hop_ms: float = 0.0

    def __add__(self, other: "StageTimes") -> "StageTimes":
        return StageTimes(
            queue_ms=self.queue_ms + other.queue_ms,
            decode_ms=self.decode_ms + other.decode_ms,
            compute_ms=self.compute_ms + other.compute_ms,
            hop_ms=self.hop_ms + other.hop_ms,
        )

    @property
    def total_ms(self) -> float:
        """All stages together."""
        return self.queue_ms + self.decode_ms + self.compute_ms + self.hop_ms

    def note(self, **figures: object) -> None:
        """Add the times, and other figures, to the log line of the present call."""
        note(
            queue_ms=round(self.queue_ms, 1),
            decode_ms=round(self.decode_ms, 1),
            compute_ms=round(self.compute_ms, 1),
            hop_ms=round(self.hop_ms, 1),
            **figures,
        )


def write_timings(times: StageTimes) -> types_pb2.Timings:
    """The times as a message."""
    return types_pb2.Timings(
        queue_ms=times.queue_ms,
        decode_ms=times.decode_ms,
        compute_ms=times.compute_ms,
        hop_ms=times.hop_ms,
    )


def read_hop(timings: types_pb2.Timings, waited_ms: float) -> StageTimes:
    """The times of a call to another service that was waited for so long; never a negative hop.

    timings: as the other service reports them. Its own hop counts as part of this one.
    """
    reported_ms = timings.queue_ms + timings.decode_ms + timings.compute_ms
    return StageTimes(
        queue_ms=timings.queue_ms,
        decode_ms=timings.decode_ms,
        compute_ms=timings.compute_ms,
        hop_ms=max(0.0, waited_ms - reported_ms),
    )
