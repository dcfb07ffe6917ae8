"""The files by which a run shows itself, and the lock that says whether it still goes on.

Below the run's folder: `results/dashboard.json`, the document; `results/run.json`, its header alone, for
lists; `results/dashboard/`, the pictures that the document names; `results/.dashboard.lock`, held while it
runs.
"""

from pathlib import Path
from typing import Final

RESULTS: Final = "results"
DOCUMENT_FILE: Final = "dashboard.json"
HEADER_FILE: Final = "run.json"
PICTURE_FOLDER: Final = "dashboard"
LOCK_FILE: Final = ".dashboard.lock"


def document_path(folder: Path) -> Path:
    """The document of the run in `folder`."""
    return folder / RESULTS / DOCUMENT_FILE


def header_path(folder: Path) -> Path:
    """The header of the run in `folder`."""
    return folder / RESULTS / HEADER_FILE


def lock_path(folder: Path) -> Path:
    """The lock that the run in `folder` holds while it goes on."""
    return folder / RESULTS / LOCK_FILE
