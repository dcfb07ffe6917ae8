"""What every service is told by its environment; read once, in `__main__`."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.runtime.limits import Limits
from services.runtime.security import PeerSettings


class ServiceSettings(PeerSettings):
    """Settings that all services share; each service adds its ports and its own."""

    model_config = SettingsConfigDict(
        env_prefix="ATELIER_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    store: Path = Path("var/models")
    host: str = "127.0.0.1"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None  # given: callers must show a certificate of it
    tokens_file: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0)  # 0: every core
    ready_file: Path | None = None
    drain_s: float = Field(default=10.0, ge=0)
    poll_s: float = Field(default=0.5, gt=0)
    default_deadline_s: float = Field(default=60.0, gt=0)
    held_bytes: int = Field(default=256 << 20, gt=0)
    receiving: int = Field(default=16, gt=0)
    streams: int = Field(default=64, gt=0)
    limits: Limits = Limits()
