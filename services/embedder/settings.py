"""Settings of the embedder; read once, in `__main__`, from ATELIER_ variables."""

from pathlib import Path

from pydantic import Field

from services.runtime.settings import ServiceSettings

MIB = 1 << 20


class EmbedderSettings(ServiceSettings):
    """The embedder's own settings beside those of every service. Where noted, 0 means: fit the machine."""

    embedder_port: int = Field(default=50051, ge=0, le=65_535)
    embedder_metrics_port: int = Field(default=9464, ge=-1, le=65_535)
    cache: Path = Path("var/cache")
    # Vectors kept on disk; 0 keeps none.
    embedder_cache_bytes: int = Field(default=1024 * MIB, ge=0)
    # Vectors of the cache that memory holds too, for answers that wait for no disk; 0 holds none.
    embedder_recent_bytes: int = Field(default=64 * MIB, ge=0)
    # Estimated memory of all loaded models; 0: three quarters of the device's.
    embedder_memory_bytes: int = Field(default=0, ge=0)
    # Batches that run at once; 0: one a core on a CPU, one on a GPU.
    embedder_workers: int = Field(default=0, ge=0)
    # A second session a model, on every core, for an input that is alone; left out where memory is short.
    embedder_lone_session: bool = True
    # Cost of a batch in patches of 14 × 14 pixels; 0: 1,024 on a CPU, 65,536 on a GPU.
    embedder_batch_cost: int = Field(default=0, ge=0)
    # Accepted, unfinished work: cost, and bytes held. Bulk work fills at most half of either.
    embedder_queue_cost: int = Field(default=1 << 20, ge=1)
    embedder_queue_bytes: int = Field(default=1024 * MIB, ge=1)
    # Memory of large decodings that run at the same time; a larger one runs while no other does.
    embedder_decode_bytes: int = Field(default=512 * MIB, ge=1)
    # Inputs of one stream that are unfinished or unsent.
    embedder_stream_window: int = Field(default=32, ge=1)
    # A model that is not in use leaves memory after this time without a request.
    embedder_idle_s: float = Field(default=600.0, gt=0)
    # Whether models in use, or in production, are loaded before the service says SERVING.
    embedder_preload: bool = True
    # A refused version is not tried again within this time, which doubles each time, up to 10 minutes.
    embedder_refused_s: float = Field(default=5.0, ge=0)
    # The shortest time after which a run counts as stuck.
    embedder_stuck_floor_s: float = Field(default=120.0, gt=0)
