"""Settings of a run: a YAML file, then options over it, checked once."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.errors import InvalidConfig

# The setting that names the variant of the settings beside it.
_KIND = "kind"
Positive = Annotated[int, Field(ge=1)]
CONFIG_DIRECTORY = Path(__file__).resolve().parents[1] / "config"


class Settings(BaseModel):
    """Frozen; a misspelt field is refused, and so is a number that is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrainingSettings(Settings):
    """Settings of every training: how it steps, when it ends, where it runs and where it is tracked."""

    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip_norm: float = Field(1.0, gt=0)
    max_epochs: Positive = 100
    early_stopping_patience: Positive = 10
    save_every_n_epochs: Positive = 5
    wandb_enabled: bool = True
    wandb_project: str
    wandb_run_name: str | None = None
    device: Literal["cuda", "cpu"] = "cuda"
    seed: int = Field(42, ge=0, lt=1 << 63)


SettingsT = TypeVar("SettingsT", bound=Settings)


def read_settings(
    kind: type[SettingsT], path: Path, overrides: Mapping[str, object] | None = None
) -> SettingsT:
    """The settings in a YAML file with `overrides` (`{"training.seed": 7}`) over them.

    An override of a `kind` leaves out what the file says of another kind.
    Raises InvalidConfig: when the file or a value is not usable, naming the file and the field.
    """
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise InvalidConfig(f"{path}: not readable ({error.strerror})") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InvalidConfig(f"{path}: not readable as YAML") from error
    if not isinstance(body, dict):
        raise InvalidConfig(f"{path}: not a mapping")
    return _checked(kind, body, overrides or {}, str(path))


def change_settings(settings: SettingsT, overrides: Mapping[str, object]) -> SettingsT:
    """The same settings but for `overrides`. Raises InvalidConfig: naming the field."""
    return _checked(type(settings), settings.model_dump(mode="json"), overrides, "settings")


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """`["training.seed=7"]` as overrides for `read_settings`; values are YAML.

    Raises InvalidConfig: for a text that is not NAME=VALUE.
    """
    overrides = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise InvalidConfig(f"--set {text}: expected NAME=VALUE")
        try:
            overrides[name] = yaml.safe_load(value)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise InvalidConfig(f"--set {name}: {value[:80]!r} is no YAML") from error
    return overrides


def _forget_another_kind(body: Any, keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        body = body.get(key) if isinstance(body, dict) else None
    if keys[-1] == _KIND and isinstance(body, dict) and body.get(_KIND, value) != value:
        body.clear()


def _checked(
    kind: type[SettingsT], body: dict[str, Any], overrides: Mapping[str, object], source: str
) -> SettingsT:
    named = [(dotted.split("."), value) for dotted, value in overrides.items()]
    for keys, value in named:
        _forget_another_kind(body, keys, value)
    for keys, value in named:
        _set(body, keys, value)
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in _place(first["loc"], body))
        raise InvalidConfig(f"{source}: {where}: {first['msg'].removeprefix('Value error, ')}") from error


def _set(body: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        body = body.setdefault(key, {})
        if not isinstance(body, dict):
            raise InvalidConfig(f"{'.'.join(keys)}: {key} is a value and has no settings of its own")
    body[keys[-1]] = value


def _place(loc: tuple[int | str, ...], body: Any) -> Iterator[int | str]:
    """Where in the file an error is: pydantic counts the kind of a variant in, which is no key there."""
    for part in loc[:-1]:
        counted_in = isinstance(body, dict) and part not in body
        if not counted_in:
            yield part
            body = body.get(part) if isinstance(body, dict) else None
    yield from loc[-1:]
