"""The log of a run (I-5, Q-8)."""

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from trainer.items.results.run_log import run_log


def test_events_are_lines_with_their_fields(tmp_path: Path) -> None:
    """The file is named by the day; a second run appends; other loggers do not reach it (I-5, Q-8)."""
    for number in range(2):
        with run_log(tmp_path / "logs") as path:
            logging.getLogger("trainer.items.train").info("index built", extra={"M": 32, "run": number})
            logging.getLogger("elsewhere").warning("not here")
    logging.getLogger("trainer.items.train").warning("after the run")

    assert re.fullmatch(r"trainer_\d{8}\.log", path.name)
    assert path.name == f"trainer_{datetime.now(UTC):%Y%m%d}.log"
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"[\d-]+ [\d:,]+ - trainer\.items\.train - INFO - index built M=32 run=1", lines[1])
    assert logging.getLogger("trainer").level == logging.NOTSET
