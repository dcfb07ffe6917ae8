"""`python -m services.embedder`: serve until told to stop."""

import sys

from services.embedder.service import embedder
from services.embedder.settings import EmbedderSettings
from services.runtime.server import run_service
from services.runtime.settings import read_settings


def main() -> int:
    """Serve; the exit code: 0 after a drain, 1 when the port is not to be had, 70 when a run was stuck."""
    settings = read_settings(EmbedderSettings)
    return run_service(settings, embedder(settings))


if __name__ == "__main__":
    sys.exit(main())
