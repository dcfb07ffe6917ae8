"""`atelier tokens`: bearer tokens that callers show, of which a service keeps only digests."""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CommandError, reported
from cli.output import print_json, progress_console
from services.runtime.authorization import BadTokenFile, digest_token, parse_grants

app = typer.Typer(no_args_is_help=True, help="Tokens that callers show to the services.")


class ScopeName(StrEnum):
    """What a token allows; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@app.callback()
def _noun() -> None:
    """Keeps the verb a word of its own while there is only one."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who it is for; appears in log lines.")],
    file: Annotated[
        Path, typer.Option(help="The services' token file; made when missing.", envvar="ATELIER_TOKENS_FILE")
    ],
    scope: Annotated[ScopeName, typer.Option(help="What it allows.")] = ScopeName.READ,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a token, add its digest to the services' file and print it, this once."""
    with reported():
        token = secrets.token_urlsafe(32)
        _append(file, f"{name} {scope.value} {digest_token(token)}\n")
    if as_json:
        print_json({"name": name, "scope": scope.value, "token": token})
    else:
        typer.echo(token)
        progress_console.print(f"shown only now; {file} keeps its digest", highlight=False)


def _append(path: Path, line: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(path.parent):  # of two at once the second would lose the first's token
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            text = (before if not before or before.endswith("\n") else before + "\n") + line
            parse_grants(text)
            _replace(path, text)
    except BadTokenFile as error:
        raise CommandError(f"{path}: {error}") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    descriptor, staged = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise
