"""The log of a training on its console (Q-8)."""

import logging

LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


def log_to_console() -> None:
    """Write warnings and errors to standard error; a process that logs already is left as it is."""
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
