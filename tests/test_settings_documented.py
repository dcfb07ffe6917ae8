"""docs/settings.md has every setting of every service, with its default, and no other."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from typer.main import get_command

from cli.main import app
from services.embedder.settings import EmbedderSettings
from services.gateway.settings import GatewaySettings
from services.ranker.settings import RankerSettings
from services.recommender.settings import RecommenderSettings
from services.runtime.settings import KNOWN_VARIABLES, variables_of

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "settings.md").read_text()
# Read beside the classes: the images that docker-compose.yml names.
IMAGES = {"ATELIER_IMAGE", "ATELIER_TRAIN_IMAGE"}
ROWS = re.findall(r"^\| `(ATELIER_[A-Z_]+)` \| (.+?) \| ", PAGE, re.MULTILINE)
UNITS: dict[str, Any] = {
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def defaults(kind: type[BaseModel], prefix: str = "ATELIER_") -> Iterator[tuple[str, Any]]:
    """Every variable of a class of settings with its default."""
    for name, field in kind.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from defaults(nested, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper(), field.get_default(call_default_factory=True, validated_data={})


# The recommender's last: of ATELIER_COLLECTIONS the gateway reads the names alone.
KINDS = (EmbedderSettings, RankerSettings, GatewaySettings, RecommenderSettings)
DEFAULTS = dict(pair for kind in KINDS for pair in defaults(kind))


def options(command: Any) -> Iterator[str]:
    """The variables of our own that a command's options read, those of its subcommands included."""
    for parameter in command.params:
        names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or ()
        yield from (name for name in names if name.startswith("ATELIER_"))
    for each in getattr(command, "commands", {}).values():
        yield from options(each)


def test_the_known_variables_are_those_that_something_reads() -> None:
    """Each name that a service accepts is a setting of some service or an option of some command (S-13)."""
    read = {name for kind in KINDS for name in variables_of(kind)} | set(options(get_command(app)))

    assert read | IMAGES == KNOWN_VARIABLES


def read_default(text: str) -> object:
    """The value of a cell of the column `default`: a number, one with a unit, a flag, a text or None."""
    size = re.fullmatch(r"(\d+) (MiB|GiB|h|d)", text)
    if size:
        return int(size[1]) * UNITS[size[2]]
    word = text.strip("`").replace("\\|", "|")
    if re.fullmatch(r"\d[\d,]*(\.\d+)?", word):
        return float(word.replace(",", ""))
    return {"none": None, "true": True, "false": False}.get(word, word)


def test_the_page_and_the_classes_agree() -> None:
    """Each variable stands in the page, and each variable of the page exists. (S-7)"""
    written = set(re.findall(r"`(ATELIER_[A-Z_]+)`", PAGE))

    assert written == DEFAULTS.keys() | IMAGES


@pytest.mark.parametrize(("name", "text"), ROWS)
def test_the_page_gives_the_default(name: str, text: str) -> None:
    """The default in the page is that of the class. (S-5)"""
    default, written = DEFAULTS[name], read_default(text)

    if isinstance(default, SecretStr):
        default = default.get_secret_value() or None
    if name == "ATELIER_COLLECTIONS":  # a mapping, written as the variable is
        written = {key: tuple(models.split("|")) for key, models in [str(written).split("=")]}
    if default == ():
        default = None
    assert written == (str(default) if isinstance(default, Path) else default)
