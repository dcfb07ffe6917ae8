"""The settings that every service shares: environment variables, read once, in `__main__`."""

import sys
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from model_store.errors import UnsupportedLocation
from model_store.storage import LocalStorage
from services.runtime.limits import Limits
from services.runtime.security import PeerSettings


class ServiceSettings(PeerSettings):
    """Settings of all services; each service adds its ports and its own."""

    model_config = SettingsConfigDict(
        env_prefix="ATELIER_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    store: Path = Path("var/models")
    host: str = "127.0.0.1"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None  # if set, callers must show a certificate that it signed
    tokens_file: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0)  # 0 for every core
    ready_file: Path | None = None
    drain_s: float = Field(default=10.0, ge=0)
    poll_s: float = Field(default=0.5, gt=0)
    default_deadline_s: float = Field(default=60.0, gt=0)
    held_bytes: int = Field(default=256 << 20, gt=0)
    receiving: int = Field(default=16, gt=0)
    streams: int = Field(default=64, gt=0)
    limits: Limits = Limits()


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """The settings in this process's environment. A bad one ends the process with 2 and a line naming it."""
    try:
        settings = kind()
        LocalStorage(settings.store)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        _refuse("__".join(str(part) for part in first["loc"]).upper(), first["msg"])
    except UnsupportedLocation as error:
        _refuse("STORE", str(error))
    return settings


def _refuse(name: str, reason: str) -> NoReturn:
    print(f"ATELIER_{name}: {reason}", file=sys.stderr)  # noqa: T201 - before there is a log
    sys.exit(2)
