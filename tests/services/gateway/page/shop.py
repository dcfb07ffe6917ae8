"""Everything that the page touches, as real processes: packaged models, a catalog of drawn garments, training runs."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import defaults
from cli.demo.questions import await_all
from cli.samples import draw_samples, import_garments
from cli.supervisor import Address, ServiceSpec, Supervisor
from cli.up import specs
from services.client.recommender import RecommenderClient
from tests.services.gateway.page.sample_runs import write_runs

SERVICES: Final = ("embedder", "ranker", "recommender")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The running services, where the page is, and drawn pictures to drop on it."""

    supervisor: Supervisor
    addresses: Mapping[str, Address]
    garments: Sequence[Path]
    graded: Sequence[Path]
    folder: Path

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{self.addresses['gateway'].grpc}/"

    def recommender(self) -> RecommenderClient:
        """A client of the recommender; to be closed."""
        return RecommenderClient(self.addresses["recommender"].grpc)


@contextmanager
def running_shop(folder: Path) -> Iterator[Shop]:
    """The services and the gateway over `folder`, until the context ends."""
    store = folder / "models"
    shutil.copytree(defaults.STORE, store)
    # A second version, to be promoted. Its files, and so its digest, are those of the first.
    shutil.copytree(store / "artwork-head" / "1", store / "artwork-head" / "2")
    samples = draw_samples(folder / "samples")
    garments = [path for path, _ in samples.garments.values()]
    write_runs(folder / "runs", garments)
    supervisor = Supervisor(_specs(store, folder), folder / "run")
    addresses = supervisor.start()
    try:
        await_all({name: addresses[name] for name in SERVICES})
        with RecommenderClient(addresses["recommender"].grpc) as recommender:
            import_garments(recommender, samples.garments)
        yield Shop(
            supervisor=supervisor,
            addresses=addresses,
            garments=garments,
            graded=list(samples.graded.values()),
            folder=folder,
        )
    finally:
        supervisor.stop()


def _specs(store: Path, folder: Path) -> list[ServiceSpec]:
    """The services of `atelier up`, each on a free port, with the runs of `folder`."""
    known = [spec for spec in specs(store, folder, any_port=True) if spec.name in SERVICES]
    environment = {
        "ATELIER_STORE": str(store),
        "ATELIER_RUNS": str(folder / "runs"),
        "ATELIER_GATEWAY_PORT": "0",
        "ATELIER_GATEWAY_METRICS_PORT": "-1",
    }
    return [*known, ServiceSpec(name="gateway", environment=environment, needs=SERVICES)]
