"""What the page touches, as real processes: packaged models, a catalog of drawn garments, training runs."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

import defaults
from cli.demo.questions import await_all
from cli.main import app
from cli.samples import draw_samples, import_garments
from cli.supervisor import Address, ServiceSpec, Supervisor
from cli.up import GATEWAY, SERVICES, specs
from services.client.recommender import RecommenderClient
from tests.services.gateway.page.sample_runs import write_runs


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
        return f"http://{self.addresses[GATEWAY].grpc}/"

    def recommender(self) -> RecommenderClient:
        """A client of the recommender; to be closed."""
        return RecommenderClient(self.addresses["recommender"].grpc)

    def kill(self, name: str) -> int:
        """End a service at once; its process id."""
        process_id = self.supervisor.process_id(name)
        os.kill(process_id, signal.SIGKILL)
        return process_id

    def revive(self, name: str, killed: int) -> None:
        """Have the supervisor start a service that was killed."""
        deadline = time.monotonic() + 20
        while self.supervisor.process_id(name) == killed:
            assert time.monotonic() < deadline
            self.supervisor.watch(lambda _: None)
            time.sleep(0.05)  # between two looks; the supervisor waits before it starts anew


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
    supervisor = Supervisor(specs(store, folder, any_port=True), folder / "run")
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


@contextmanager
def guarded_gateway(shop: Shop, folder: Path) -> Iterator[tuple[str, str]]:
    """A gateway that asks for tokens, before the same services: its page, and a token that may read."""
    tokens = folder / "tokens.json"
    create = ["tokens", "create", "page", "--file", str(tokens), "--json"]
    secret = json.loads(CliRunner().invoke(app, create).output)["token"]
    environment = {
        "ATELIER_STORE": str(shop.folder / "models"),
        "ATELIER_TOKENS_FILE": str(tokens),
        "ATELIER_GATEWAY_PORT": "0",
        "ATELIER_GATEWAY_METRICS_PORT": "-1",
        **{f"ATELIER_{name.upper()}_ADDRESS": shop.addresses[name].grpc for name in SERVICES},
    }
    supervisor = Supervisor([ServiceSpec(name=GATEWAY, environment=environment)], folder / "run")
    address = supervisor.start()[GATEWAY].grpc
    try:
        yield f"http://{address}/", str(secret)
    finally:
        supervisor.stop()
