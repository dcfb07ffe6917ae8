"""What frozen networks have in common: their origin and the digest of their weights."""

import hashlib
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainer.backbones.cards import Card, read_card
from trainer.errors import BackboneUnavailable

UNTRAINED_KEY = "atelier_untrained"
# Of the question whether the hub is there at all; downloads have the hub library's own bounds.
CONNECT_S, ANSWER_S = 5.0, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where weights come from. `trained` is False for randomly initialised ones."""

    source: str
    trained: bool
    licence: str | None
    card: Card | None = None

    def provenance(self) -> dict[str, Any]:
        """Fields of a version's provenance."""
        fields: dict[str, Any] = {"source": self.source, "trained": self.trained, "licence": self.licence}
        if self.card is not None:
            fields |= {
                "licence": self.card.licence,
                "data_version": self.card.data_version,
                "seed": self.card.seed,
                "notes": (f"data: {self.card.data}", f"made by: {self.card.command}", *self.card.limits),
            }
        return fields

    def metrics(self) -> dict[str, Any]:
        """What the card measured, for a version's metrics."""
        return {} if self.card is None else {"card": self.card.figures}


def weights_digest(module: nn.Module) -> str:
    """sha256, hexadecimal, of every parameter and buffer: equal before and after means frozen."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def freeze(module: nn.Module) -> None:
    """Put a module into evaluation mode without gradients."""
    module.eval()
    module.requires_grad_(False)


def origin_of(source: str, config: str, licence: str | None) -> Origin:
    """The origin of weights of the hub, or in a directory: there `config` says if they were never trained."""
    directory = Path(source)
    if not directory.is_dir():
        return Origin(source=source, trained=True, licence=licence)
    untrained = bool(read_json(directory / config).get(UNTRAINED_KEY, False))
    return Origin(source=directory.name, trained=not untrained, licence=licence, card=read_card(directory))


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises BackboneUnavailable: when it is not one, naming the file."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneUnavailable(f"{path} is not readable as JSON") from error
    if not isinstance(body, dict):
        raise BackboneUnavailable(f"{path} does not hold a JSON object")
    return body


@contextmanager
def loading(source: str) -> Iterator[None]:
    """Turn whatever a hub library raises or logs into one line with the remedy."""
    try:
        with hushed(), _offline_without_hub(source):
            yield
    except BackboneUnavailable:
        raise
    except Exception as error:
        logging.getLogger(__name__).debug("backbone did not load", exc_info=True)
        if Path(source).is_dir():
            raise BackboneUnavailable(
                f"backbone directory {source} cannot be loaded: {_first_line(error)}"
            ) from error
        raise BackboneUnavailable(
            f"backbone {source} is no directory here and not loadable from the hub ({type(error).__name__}); "
            "without network, give a local copy: --backbone DIR"
        ) from error


@contextmanager
def _offline_without_hub(source: str) -> Iterator[None]:
    """Ask the hub once, before its library asks for each file, five times each.

    A hub that does not answer leaves what was downloaded before; a slow hub is waited for.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    if not before and not Path(source).is_dir() and not _hub_answers():
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _hub_answers() -> bool:
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=(CONNECT_S, ANSWER_S, ANSWER_S, ANSWER_S))
    except Exception:  # noqa: BLE001 - whatever the reason, nothing can be fetched
        return False
    return True


@contextmanager
def hushed() -> Iterator[None]:
    """Keep the hub libraries from logging each retry and from drawing bars where there is no terminal."""
    from transformers.utils import logging as bars

    levels = {
        name: logging.getLogger(name).level for name in ("huggingface_hub", "transformers", "open_clip")
    }
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not sys.stderr.isatty():
        bars.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
