"""How long work tells how far it is: a callback of stage, done and total, and a few words at times."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm


class Progress(Protocol):
    """Takes how far a stage is; `note` is the figure that matters most."""

    def __call__(self, stage: str, done: int, total: int, note: str = "", /) -> None:
        """Tell it."""


def silent(_stage: str, _done: int, _total: int, _note: str = "") -> None:
    """Tells nobody."""


@contextmanager
def bars() -> Iterator[Progress]:
    """One bar a stage on standard error; shown only on a terminal."""
    shown: dict[str, Any] = {}

    def tell(stage: str, done: int, total: int, note: str = "") -> None:
        if stage not in shown:
            for bar in shown.values():
                bar.close()
            shown[stage] = tqdm(total=total, desc=stage, disable=None, leave=True)
        shown[stage].set_postfix_str(note, refresh=False)
        shown[stage].update(done - shown[stage].n)

    try:
        yield tell
    finally:
        for bar in shown.values():
            bar.close()
