"""`python -m services.recommender`: the recommender as a process."""

import logging
import sys

from services.recommender.catalog.store import Catalog
from services.recommender.errors import CatalogError
from services.recommender.service import recommender_service
from services.recommender.settings import RecommenderSettings
from services.runtime.server import run_service
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging

log = logging.getLogger("services.recommender")


def main() -> int:
    """Serve until a signal; returns the exit code, 1 if the catalog cannot be opened."""
    settings = read_settings(RecommenderSettings)
    configure_logging("recommender", settings.log_level)
    try:
        catalog = Catalog(settings.catalogue)
    except (CatalogError, OSError) as error:
        log.critical("the catalog cannot be opened", extra={"reason": str(error)})
        return 1
    try:
        return run_service(settings, recommender_service(settings, catalog))
    finally:
        catalog.close()


if __name__ == "__main__":
    sys.exit(main())
