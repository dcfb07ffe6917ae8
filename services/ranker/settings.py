"""Settings of the ranker; read once, in `__main__`, from ATELIER_ variables."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.runtime.limits import MIB
from services.runtime.settings import ServiceSettings


class RankerSettings(ServiceSettings):
    """The ranker's own settings beside those of every service.

    A head is a megabyte and a run of it a tenth of a millisecond: by default it runs on one core,
    also where the backbone runs on an accelerator.
    """

    ranker_port: int = Field(default=50052, ge=0, le=65535)
    ranker_metrics_port: int = Field(default=9465, ge=-1, le=65535)  # 0: any, -1: none
    ranker_model: str = "artwork-head"
    ranker_alias: str = "production"
    embedder_address: str = "127.0.0.1:50051"
    cache: Path = Path("var/cache")
    head_provider: Literal["auto", "cpu", "cuda"] = "cpu"
    head_threads: int = Field(default=1, ge=0)
    # Memory for outputs of the head by picture, so that a known picture needs no embedder; 0 keeps none.
    ranker_recent_bytes: int = Field(default=64 * MIB, ge=0)
    # Seconds of work on features that may wait; what comes then is rejected, as is what would be late.
    ranker_queue_s: float = Field(default=2.0, gt=0)
    keep_alive_s: float = Field(default=60.0, gt=0)
