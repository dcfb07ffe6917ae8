"""What commands print: tables for people, JSON for machines."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

A = TypeVar("A")

_PIPED_WIDTH = 160

# A table in a pipe or a file is not cut to a terminal's 80 columns.
console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
progress_console = Console(stderr=True)


def print_line(text: str) -> None:
    """A line on stdout, letter for letter: no markup, no colours, wrapped by the terminal alone."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_notice(text: str) -> None:
    """A line on stderr, beside what a command answers."""
    print(text, file=sys.stderr)


def print_json(body: Any) -> None:
    """One JSON document on stdout; a message anywhere in it as `to_json` has it."""
    sys.stdout.write(json.dumps(body, indent=2, ensure_ascii=False, default=to_json) + "\n")


def print_answer(body: A, show: Callable[[A], None], *, as_json: bool) -> None:
    """The answer of a command: as JSON, or as `show` prints it for people."""
    (print_json if as_json else show)(body)


def to_json(message: Message) -> dict[str, Any]:
    """A message as plain JSON values, field names as in the protos, zero values included."""
    body: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return body


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; columns whose name starts with '#' are right-aligned numbers."""
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        numeric = column.startswith("#")
        table.add_column(column.removeprefix("#"), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))  # not markup: names are printed as they are
    console.print(table)


def describe_model(model: Any) -> str:
    """One line on a ModelIdentity: name/version, digest, and whether it was trained."""
    trained = "" if model.trained else " (untrained)"
    return f"{model.name}/{model.version} {model.digest[:12]}{trained}"
