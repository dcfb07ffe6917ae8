"""The beginning of a process: its settings, read once, or one line on what is wrong with them."""

import sys
from typing import NoReturn, TypeVar

from pydantic import ValidationError

from model_store.errors import UnsupportedLocation
from model_store.storage import LocalStorage
from services.runtime.settings import ServiceSettings

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """The settings of this process's environment. Ends the process with 2 and a line that names a bad one."""
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
