"""`python -m services.ranker`: the ranker as a process."""

import sys

from services.ranker.service import ranker_service
from services.ranker.settings import RankerSettings
from services.runtime.server import run_service
from services.runtime.settings import read_settings


def main() -> int:
    """Serve until told to stop; the process's exit code."""
    settings = read_settings(RankerSettings)
    return run_service(settings, ranker_service(settings))


if __name__ == "__main__":
    sys.exit(main())
