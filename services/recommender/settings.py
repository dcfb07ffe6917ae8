"""The settings of the recommender."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from model_store.names import check_name
from services.runtime.limits import MIB
from services.runtime.settings import ServiceSettings


def _seconds(value: Any) -> Any:
    """The number that a text is; any other value as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


# Seconds, or an ISO 8601 duration such as `PT24H`.
Duration = Annotated[timedelta, BeforeValidator(_seconds), Field(ge=timedelta(0))]


class RecommenderSettings(ServiceSettings):
    """Settings of the recommender; `ATELIER_<NAME>` in the environment.

    collections: for each collection its leads, the models that it may follow, the preferred first. It
    follows the first that has a `production` alias, and changes to a preferred one once that has one.
    JSON, `{"fashion": ["fashion-attributes", "fashion-image"]}`, or
    `fashion=fashion-attributes|fashion-image` with commas between collections.
    """

    recommender_port: int = Field(default=50053, ge=0, le=65535)
    recommender_metrics_port: int = Field(default=9466, ge=-1, le=65535)  # 0: any, -1: none
    embedder_address: str = "127.0.0.1:50051"
    catalogue: Path = Path("var/catalogue")
    collections: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(
        default={"fashion": ("fashion-attributes", "fashion-image")}, min_length=1
    )
    prepare_every_s: float = Field(default=60.0, gt=0)
    recommend_queue: int = Field(default=256, ge=1)
    upsert_queue_bytes: int = Field(default=512 * MIB, ge=1)
    small_write_queue: int = Field(default=256, ge=1)
    keep_previous: Duration = timedelta(hours=24)
    log_retention: Duration = timedelta(days=7)
    new_days: int = Field(default=30, ge=1, le=36_500)
    feedback_retention: Duration = timedelta(days=90)
    recall_floor: float = Field(default=0.99, ge=0, le=1)
    recall_every_s: float = Field(default=60.0, gt=0)

    @field_validator("collections", mode="before")
    @classmethod
    def _read_collections(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = json.loads(value) if value.lstrip().startswith("{") else _pairs(value)
        if not isinstance(value, dict):
            return value
        return {name: (leads,) if isinstance(leads, str) else leads for name, leads in value.items()}

    @field_validator("collections")
    @classmethod
    def _check_collections(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, leads in value.items():
            _named(name, "collection")
            if not leads:
                raise ValueError(f"collection {name} follows no model: write {name}=MODEL")
            for lead in leads:
                _named(lead, "model")
        return value


def _pairs(text: str) -> dict[str, tuple[str, ...]]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    return {name.strip(): tuple(lead.strip() for lead in leads.split("|")) for name, _, leads in pairs}


def _named(name: str, what: str) -> None:
    try:
        check_name(name, what)
    except Exception as error:
        raise ValueError(str(error)) from error
