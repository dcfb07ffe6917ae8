"""Strict names: the only strings that ever become part of a path."""

import re

from model_store.errors import InvalidName

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_FILE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9]+){1,2}", re.ASCII)
LONGEST = 64


def check_name(name: str, what: str) -> str:
    """`name` itself, if it consists of lower-case words joined by single hyphens, at most 64 characters.

    Raises InvalidName: for anything else, naming `what` it was meant for.
    """
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        raise InvalidName(
            f"{what} {_shown(name)} is not lower-case words joined by hyphens, at most {LONGEST} characters"
        )
    return name


def check_file(name: str) -> str:
    """`name` itself, if it is a plain file name, for example `model.onnx.data`.

    Raises InvalidName: for anything with a separator, a leading dot or an unknown character.
    """
    if len(name) > LONGEST or not _FILE.fullmatch(name):
        raise InvalidName(f"file name {_shown(name)} is not a plain lower-case file name")
    return name


def _shown(name: str) -> str:
    return ascii(name if len(name) <= LONGEST else name[:LONGEST] + "…")
