"""Errors of the command line, and the one place where errors become a line and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

FAILED = 1
USAGE = 2
UNREACHABLE = 3


class CommandError(Exception):
    """The command cannot go on; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@contextmanager
def reported() -> Iterator[None]:
    """Turn expected errors into `error: …` and `hint: …` on stderr and an exit code.

    Unexpected errors keep their trace: they are defects, not answers.
    """
    from inference.errors import InferenceError
    from model_store.errors import StoreError
    from services.client.errors import AtelierError, Unavailable
    from services.runtime.security import BadSecurity
    from trainer.errors import TrainerError

    try:
        yield
    except CommandError as error:
        _report(str(error), error.hint)
        raise typer.Exit(error.code) from error
    except BadSecurity as error:
        _report(str(error))
        raise typer.Exit(USAGE) from error
    except Unavailable as error:
        _report(str(error), "are the services running? `atelier up` starts them")
        raise typer.Exit(UNREACHABLE) from error
    except (AtelierError, StoreError, InferenceError, TrainerError, OSError) as error:
        _report(str(error))
        raise typer.Exit(FAILED) from error


def _report(message: str, hint: str = "") -> None:
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"[red]error:[/red] {escape(message)}", highlight=False)
    if hint:
        console.print(f"[dim]hint: {escape(hint)}[/dim]", highlight=False)
