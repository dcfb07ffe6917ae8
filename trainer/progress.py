"""How long work tells how far it is: a callback of stage, done and total."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

Progress = Callable[[str, int, int], None]


def silent(_stage: str, _done: int, _total: int) -> None:
    """Tells nobody."""


@contextmanager
def bars() -> Iterator[Progress]:
    """One bar a stage on standard error; shown only on a terminal."""
    shown: dict[str, Any] = {}

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in shown:
            for bar in shown.values():
                bar.close()
            shown[stage] = tqdm(total=total, desc=stage, disable=None, leave=True)
        shown[stage].update(done - shown[stage].n)

    try:
        yield tell
    finally:
        for bar in shown.values():
            bar.close()
