"""Settings of the gateway; read once, in `__main__`, from ATELIER_ variables."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from services.runtime.limits import MIB
from services.runtime.settings import ServiceSettings


def _words(value: Any) -> Any:
    """A list written as JSON or with commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word.strip() for word in value.split(",") if word.strip()]


def _names(value: Any) -> Any:
    """The names of collections, as the recommender's setting has them with the models that they follow."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return list(json.loads(value))
    return [pair.partition("=")[0].strip() for pair in value.split(",") if pair.strip()]


Origin = Annotated[str, Field(pattern=r"^https?://[^/*\s]+$")]
Words = Annotated[tuple[str, ...], BeforeValidator(_words), NoDecode]


class GatewaySettings(ServiceSettings):
    """The gateway's own settings beside those of every service.

    gateway_hosts: names under which it may be reached beside this machine's own; `*` for any. Others are
    refused, or a page on another site could make a name of its own mean this machine. gateway_origins: other
    sites whose pages may call it (CORS). gateway_upload_bytes: memory for bodies at once, four copies of
    each counted. gateway_json_bytes: the most of a JSON body. gateway_body_s: seconds for a body to get its
    turn, and again to arrive.
    """

    gateway_port: int = Field(default=8000, ge=0, le=65535)
    gateway_metrics_port: int = Field(default=9467, ge=-1, le=65535)  # 0: any, -1: none
    embedder_address: str = "127.0.0.1:50051"
    ranker_address: str = "127.0.0.1:50052"
    recommender_address: str = "127.0.0.1:50053"
    runs: Path = Path("var/runs")
    collections: Annotated[tuple[str, ...], BeforeValidator(_names), NoDecode] = ("fashion",)
    gateway_hosts: Words = ()
    gateway_origins: Annotated[tuple[Origin, ...], BeforeValidator(_words), NoDecode] = ()
    gateway_upload_bytes: int = Field(default=512 * MIB, ge=MIB)
    gateway_json_bytes: int = Field(default=16 * MIB, ge=1_024)
    gateway_body_s: float = Field(default=30.0, gt=0)
    gateway_thumbnail_bytes: int = Field(default=64 * MIB, ge=0)
    gateway_connections: int = Field(default=1_024, ge=1)
