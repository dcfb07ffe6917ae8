"""The settings that every service shares: environment variables, read once, in `__main__`.

A variable that no part of Atelier reads is an error, so that a misspelt one does not go unseen (S-13).
"""

import os
import sys
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal, NoReturn, TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import SettingsConfigDict

from model_store.errors import UnsupportedLocation
from model_store.storage import LocalStorage
from services.runtime.admission.request_bodies import Peers
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
    stream_idle_s: float = Field(default=60.0, gt=0)
    # What counts as one caller where callers get shares: an address, or each connection, as behind a proxy.
    peers: Peers = "address"
    connection_idle_s: float = Field(default=300.0, gt=0)
    message_fields: int = Field(default=100_000, gt=0)
    limits: Limits = Limits()


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

_PREFIX: Final = "ATELIER_"
_OF_TESTS: Final = "ATELIER_TEST_"
# What some service or command reads beside the settings above. Services do not import each other, so the
# names are written here; a test compares them with every class of settings and every option of a command.
_OF_ONE_PART: Final = """
    cache embedder_address ranker_address recommender_address image train_image
    embedder_port embedder_metrics_port embedder_cache_bytes embedder_recent_bytes embedder_memory_bytes
    embedder_workers embedder_lone_session embedder_batch_cost embedder_queue_cost embedder_queue_bytes
    embedder_decode_bytes embedder_stream_window embedder_idle_s embedder_preload embedder_refused_s
    embedder_stuck_floor_s
    ranker_port ranker_metrics_port ranker_model ranker_alias ranker_recent_bytes ranker_queue_s head_provider
    head_threads keep_alive_s
    recommender_port recommender_metrics_port catalogue collections prepare_every_s recommend_queue
    upsert_queue_bytes small_write_queue keep_previous log_retention new_days feedback_retention
    recall_floor recall_every_s
    gateway_port gateway_metrics_port runs gateway_hosts gateway_origins gateway_upload_bytes
    gateway_json_bytes gateway_body_s gateway_thumbnail_bytes gateway_connections
""".split()  # noqa: SIM905  # a list would take a line a name


def variables_of(kind: type[BaseModel], prefix: str = _PREFIX) -> Iterator[str]:
    """The names of the variables that a class of settings reads, those of nested settings included."""
    for name, field in kind.model_fields.items():
        yield prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from variables_of(field.annotation, f"{prefix}{name.upper()}__")


KNOWN_VARIABLES: Final = frozenset(
    {*variables_of(ServiceSettings), *(_PREFIX + name.upper() for name in _OF_ONE_PART)}
)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """For each `ATELIER_*` variable that nothing reads, its name and the closest known one."""
    lines = []
    for name in sorted(set(names)):
        upper = name.upper()  # pydantic reads a variable whatever its case
        if not upper.startswith(_PREFIX) or upper.startswith(_OF_TESTS) or upper in KNOWN_VARIABLES:
            continue
        rests = [known.removeprefix(_PREFIX) for known in KNOWN_VARIABLES]
        close = get_close_matches(upper.removeprefix(_PREFIX), rests, n=1)
        hint = f", did you mean {_PREFIX}{close[0]}?" if close else "; docs/settings.md lists all"
        lines.append(f"{name}: no setting has this name{hint}")
    return lines


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """The settings in this process's environment.

    Unknown variables or a bad value end the process with 2 and a line that names each of them.
    """
    unknown = unknown_variables(os.environ)
    if unknown:
        _refuse("\n".join(unknown))
    try:
        settings = kind()
        LocalStorage(settings.store)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        _refuse(f"{_PREFIX}{'__'.join(str(part) for part in first['loc']).upper()}: {first['msg']}")
    except UnsupportedLocation as error:
        _refuse(f"{_PREFIX}STORE: {error}")
    return settings


def _refuse(text: str) -> NoReturn:
    print(text, file=sys.stderr)  # noqa: T201 - before there is a log
    sys.exit(2)
