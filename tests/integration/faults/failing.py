"""`failing.py FOLDER MOST SCENARIO…`, under LD_PRELOAD of `faults.c`: fails each file operation of a change.

Prints for each scenario how many operations the change has, how many of them were failed in which manner, and
what was violated. MOST bounds the operations that are tried, spread evenly; 0 for all.
"""

import ctypes
import errno
import json
import logging
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.integration.faults.scenarios import SCENARIOS, Scenario

# The error, and what becomes of later writes: 0 they go well, 1 they fail too, 2 after half of the data.
MANNERS: Final = {
    "ENOSPC": (errno.ENOSPC, 1),
    "EIO": (errno.EIO, 0),
    "EACCES": (errno.EACCES, 0),
    "short": (errno.ENOSPC, 2),
}


class Disk:
    """The library that fails operations of this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.fault_failed.restype = ctypes.c_char_p
        self._library.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]

    def change(
        self, scenario: Scenario, root: Path, number: int, manner: str
    ) -> tuple[Exception | None, str, int]:
        """Make the change while operation `number` fails: its error, the operation, the operations in all."""
        raised: Exception | None = None
        self._library.fault_arm(bytes(root), number, *MANNERS[manner])
        try:
            scenario.change(root)
        except Exception as error:  # noqa: BLE001 - judged by the caller
            raised = error
        finally:
            failed, count = self._library.fault_failed().decode(), self._library.fault_count()
            self._library.fault_disarm()
        return raised, failed, count


def violation(scenario: Scenario, root: Path, raised: Exception | None) -> str:
    """What is wrong after a change; '' if nothing is."""
    if raised is not None and not isinstance(raised, (OSError, *scenario.errors)):
        return f"raised {raised!r}"
    try:
        scenario.check(root, changed=raised is None)
    except Exception as error:  # noqa: BLE001 - whatever it is, the state is not whole
        return f"after {raised!r}: {error!r}"
    return ""


def run(name: str, folder: Path, most: int) -> dict[str, Any]:
    """Fail the operations of one scenario; what came of it."""
    disk, scenario, before = Disk(), SCENARIOS[name](), folder / "before"
    before.mkdir(parents=True)
    scenario.prepare(before)

    def fresh() -> Path:
        root = folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(before, root)
        return root

    _, _, operations = disk.change(scenario, fresh(), 0, "EIO")
    step = max(1, operations // most) if most else 1
    tried: Counter[str] = Counter()
    raised_count, violations = 0, []
    for turn, manner in enumerate(MANNERS):
        for number in range(1 + turn % step, operations + 1, step):
            root = fresh()
            raised, failed, _ = disk.change(scenario, root, number, manner)
            tried[manner] += bool(failed)
            raised_count += raised is not None
            if problem := violation(scenario, root, raised):
                violations.append(f"{manner} at {failed or number}: {problem}")
    return {"operations": operations, "failed": tried, "raised": raised_count, "violations": violations}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    place, most_operations = Path(sys.argv[1]), int(sys.argv[2])
    print(json.dumps({each: run(each, place / each, most_operations) for each in sys.argv[3:]}))
