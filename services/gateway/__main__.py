"""`python -m services.gateway`: the HTTP front of the services."""

import sys

from services.gateway.server import NAME, running
from services.gateway.settings import GatewaySettings
from services.runtime.server import run_process
from services.runtime.settings import read_settings


def main() -> int:
    """Serve until a signal ends it; the process's exit code: 0 after a drain, 1 if the port is in use."""
    settings = read_settings(GatewaySettings)
    return run_process(NAME, settings.log_level, lambda end_drain: running(settings, end_drain))


if __name__ == "__main__":
    sys.exit(main())
