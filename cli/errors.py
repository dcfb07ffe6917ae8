"""Errors of the command line, and the one place that turns errors into a line and an exit code."""

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

FAILED = 1
USAGE = 2
UNREACHABLE = 3
# What to do where a file cannot be written.
_REMEDIES = {
    errno.ENOSPC: "free some space there, or name another folder",
    errno.EDQUOT: "free some space there, or name another folder",
    errno.EROFS: "name a folder that can be written to; the options of the command say which folders it uses",
    errno.EACCES: "name a folder that you may use; the options of the command say which folders it uses",
}
# EX_SOFTWARE of sysexits.h.
DEFECT = 70

# What the extra `train` installs, by the names that are imported.
_TRAINING_PACKAGES = frozenset({
    "lightning", "matplotlib", "onnxscript", "open_clip", "optuna", "pandas", "pyarrow", "safetensors",
    "scipy", "sklearn", "tensorboard", "tensorboardX", "torch", "torchvision", "tqdm", "transformers",
    "wandb",
})  # fmt: skip


_traced = False


def show_traces(wanted: bool) -> None:
    """Print where an error came from, before its line, for the rest of this process (`--debug`)."""
    global _traced
    _traced = wanted


class CommandError(Exception):
    """Ends a command. `hint`: the remedy; `code`: the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@contextmanager
def reported() -> Iterator[None]:
    """Turn expected errors into `error: …` and `hint: …` on stderr and an exit code.

    Exit codes: 1 for a failure, 2 for wrong usage or settings, 3 for a service that cannot be reached, 70 for
    an unexpected error, which is a defect. Traces are printed under `--debug` alone.
    """
    from inference.errors import InferenceError
    from model_store.errors import StoreError
    from services.runtime.errors import ServiceError, Unavailable
    from services.runtime.security import BadSecurity
    from trainer.errors import InvalidStudy, TrainerError

    try:
        yield
    except CommandError as error:
        raise _exit(error, error.hint, error.code) from error
    except BadSecurity as error:
        raise _exit(error, code=USAGE) from error
    except Unavailable as error:
        raise _exit(error, "are the services running? `atelier up` starts them", UNREACHABLE) from error
    except InvalidStudy as error:
        raise _exit(error, "its results stay; pass another --out for another study") from error
    except (ServiceError, StoreError, InferenceError, TrainerError, OSError) as error:
        raise _exit(error) from error
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        hint = "this is a defect of Atelier: `atelier --debug …` prints where it happened"
        raise _exit(error, hint, DEFECT, prefix=f"{type(error).__name__}: ") from error


@contextmanager
def training_extra(extra: str = "train") -> Iterator[None]:
    """Turn a missing training package into a CommandError that names `extra` as what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _TRAINING_PACKAGES:
            raise CommandError(
                f"this command needs {error.name}, which is not installed",
                f"from a checkout: pip install -e '.[{extra}]'",
            ) from error
        raise


def _exit(error: Exception, hint: str = "", code: int = FAILED, prefix: str = "") -> typer.Exit:
    """Print an error and its hint on stderr, after its trace where traces are wanted; the exit to raise."""
    if _traced:
        traceback.print_exception(error)
    message = f"{prefix}{error}"
    if isinstance(error, OSError) and error.filename is not None:
        # Of a copy the second is what could not be written.
        message = f"{error.filename2 or error.filename}: {error.strerror}"
        hint = hint or _REMEDIES.get(error.errno or 0, "")
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"[red]error:[/red] {escape(message)}", highlight=False)
    if hint:
        console.print(f"[dim]hint: {escape(hint)}[/dim]", highlight=False)
    return typer.Exit(code)
