"""Optional installs: commands that train say which extra they need when it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.errors import CommandError

_TRAINING = frozenset(
    {"torch", "transformers", "open_clip", "lightning", "wandb", "sklearn", "pandas", "matplotlib", "optuna"}
)


@contextmanager
def training_extra() -> Iterator[None]:
    """Around the import of `trainer`: a missing framework becomes a line with the extra's name."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _TRAINING:
            raise CommandError(
                f"this command needs {error.name}, which is not installed",
                "from a checkout: pip install -e '.[train]'",
            ) from error
        raise
