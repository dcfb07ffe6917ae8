"""The log of a run: `logs/trainer_YYYYMMDD.log`, a line an event, its figures behind it (I-5)."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
# What every record has: anything else is a field of the event.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class FieldFormatter(logging.Formatter):
    """The house's format of trainer logs, with the fields of an event after its message."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its name in logging
        """The line of a record: its message, then `name=value` for each field."""
        fields = [f"{name}={value}" for name, value in record.__dict__.items() if name not in _STANDARD]
        return " ".join([super().formatMessage(record), *fields])


@contextmanager
def run_log(folder: Path) -> Iterator[Path]:
    """Append what the trainer logs, from INFO on, to the log of today (UTC) in `folder`; yields its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"trainer_{datetime.now(UTC):%Y%m%d}.log"
    logger = logging.getLogger("trainer")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(FieldFormatter())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield path
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
