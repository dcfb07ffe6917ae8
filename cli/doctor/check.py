"""One line of the doctor: what was looked at, how it is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]
_SEVERITY: dict[State, int] = {"ok": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was looked at. remedy: what to do about it; empty where there is nothing to do."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def worst(checks: Iterable[Check]) -> State:
    """The worst state among checks; "ok" for none."""
    return max((check.state for check in checks), key=_SEVERITY.__getitem__, default="ok")
