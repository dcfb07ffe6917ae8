"""Settings of a run: a YAML file, then options over it, checked once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.errors import InvalidConfig

CONFIG_DIRECTORY = Path(__file__).resolve().parents[1] / "config"


class Settings(BaseModel):
    """Frozen; a misspelt field is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


SettingsT = TypeVar("SettingsT", bound=Settings)


def read_settings(
    kind: type[SettingsT], path: Path, overrides: Mapping[str, object] | None = None
) -> SettingsT:
    """The settings in a YAML file with `overrides` (`{"training.seed": 7}`) over them.

    Raises InvalidConfig: when the file or a value is not usable, naming the file and the field.
    """
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise InvalidConfig(f"{path}: not readable as YAML") from error
    if not isinstance(body, dict):
        raise InvalidConfig(f"{path}: not a mapping")
    for dotted, value in (overrides or {}).items():
        _set(body, dotted.split("."), value)
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidConfig(f"{path}: {where}: {first['msg']}") from error


def _set(body: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        body = body.setdefault(key, {})
    body[keys[-1]] = value
