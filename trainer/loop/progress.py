"""Progress of long work: a callback of stage, done, total and sometimes a note."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm


class Progress(Protocol):
    """Takes the progress of a stage; `note` is the figure that matters most."""

    def __call__(self, stage: str, done: int, total: int, note: str = "", /) -> None:
        """Report `done` of `total` steps of a stage."""


def silent(_stage: str, _done: int, _total: int, _note: str = "") -> None:
    """Discard it."""


@contextmanager
def bars() -> Iterator[Progress]:
    """One bar a stage on standard error; shown only on a terminal."""
    shown: dict[str, Any] = {}

    def show(stage: str, done: int, total: int, note: str = "") -> None:
        if stage not in shown:
            for bar in shown.values():
                bar.close()
            shown[stage] = tqdm(total=total, desc=stage, disable=None, leave=True)
        shown[stage].set_postfix_str(note, refresh=False)
        shown[stage].update(done - shown[stage].n)

    try:
        yield show
    finally:
        for bar in shown.values():
            bar.close()
