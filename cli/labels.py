"""What the words of packaged attribute encoders are called in the caller's language.

The table comes with the packaged `fashion-attributes`, in its manifest; a word that it does not know is shown
as it is.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from cli.default_models import FASHION_MODELS, packaged
from inference.attributes import normalise_text

# The language of the vocabulary itself.
NATIVE: Final = "ko"
# As POSIX has it: the first that is set decides.
_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")

# By field, then by word.
Labels = Mapping[str, Mapping[str, str]]


def caller_language(
    asked: Mapping[str, Any] | None = None, environment: Mapping[str, str] = os.environ
) -> str:
    """The language to answer in, as in `en`: that of the locale or, without one, of the words of a query."""
    locale = next((environment[name] for name in _VARIABLES if environment.get(name)), "")
    language = locale.partition("_")[0].partition(".")[0].lower()
    if language == NATIVE or language in _tables():
        return language
    words = [word for value in (asked or {}).values() for word in _listed(value)]
    for name, table in _tables().items():
        labels = {label for field in table.values() for label in field.values()}
        if any(normalise_text(word, {}).casefold() in labels for word in words):
            return name
    return NATIVE


def labelled(field: str, value: object, language: str) -> str:
    """The value of a field in words of a language, as one text."""
    table = _tables().get(language, {}).get(field, {})
    return " ".join(table.get(word, word) for word in _listed(value))


def _listed(value: object) -> Sequence[str]:
    return [str(word) for word in value] if isinstance(value, list) else [str(value)]


@cache
def _tables() -> Mapping[str, Labels]:
    """The label tables by language."""
    tables: Mapping[str, Labels] = packaged().resolve(FASHION_MODELS[1]).manifest.metrics.get("labels", {})
    return tables
