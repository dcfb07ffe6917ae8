"""Model cards of weights that were trained here: data, command, figures and limits."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from model_store.durable import write_text
from trainer.errors import BackboneUnavailable

CARD_FILE = "atelier_card.json"


class Card(BaseModel):
    """A model card; it travels in the manifest of every version that is made of the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    data: str
    data_version: str
    licence: str | None
    seed: int
    figures: dict[str, Any]
    limits: tuple[str, ...]


def write_card(directory: Path, card: Card) -> None:
    """Write the card beside the weights."""
    body = json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False)
    write_text(directory / CARD_FILE, body + "\n")


def drop_card(directory: Path) -> None:
    """Delete the card before other weights are written beside it."""
    (directory / CARD_FILE).unlink(missing_ok=True)


def read_card(directory: Path) -> Card | None:
    """The card beside local weights, None where there is none.

    Raises BackboneUnavailable: when it is damaged, naming the file.
    """
    path = directory / CARD_FILE
    if not path.is_file():
        return None
    try:
        return Card.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BackboneUnavailable(f"{path} is no model card ({type(error).__name__})") from error
