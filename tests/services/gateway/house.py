"""The gateway before the real services with the packaged models, in this process, each on its own loop."""

import asyncio
import io
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from atelier.recommender.v1 import catalog_pb2
from PIL import Image

import defaults
from services.client.recommender import RecommenderClient
from services.embedder.__main__ import embedder_service
from services.embedder.settings import EmbedderSettings
from services.gateway.server import running as running_gateway
from services.gateway.settings import GatewaySettings
from services.messages.contents import write_record
from services.ranker.__main__ import ranker_service
from services.ranker.settings import RankerSettings
from services.recommender.__main__ import recommender_service
from services.recommender.catalog.store import Catalog
from services.recommender.settings import RecommenderSettings
from services.runtime.server import running

ITEMS = 24
COLOURS = ("블랙", "화이트", "네이비")
CATEGORIES = ("코트", "스커트", "셔츠", "니트웨어")


class Background:
    """An async context, entered on a thread with a loop of its own until `close`."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self.loop = asyncio.new_event_loop()
        self.value: Any = None
        self._make = make
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(60)
        if self._error is not None:
            raise self._error
        assert self.value is not None, "it did not start"

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self.value.address)

    def close(self) -> None:
        """Leave the context."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)
            assert not self._thread.is_alive(), "it did not stop"

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001
            self._error = error
        finally:
            self._ready.set()
            self.loop.close()

    async def _serve(self) -> None:
        async with self._make() as value:
            self.value = value
            self._ready.set()
            await self._stop.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The running services and what they stand on."""

    folder: Path
    store: Path
    services: dict[str, Background]

    def settings(self, **changes: Any) -> GatewaySettings:
        """Settings of a gateway in front of them, on any port."""
        addresses = {f"{name}_address": service.address for name, service in self.services.items()}
        fields = {
            "store": self.store,
            "runs": self.folder / "runs",
            "gateway_port": 0,
            "gateway_metrics_port": -1,
            **addresses,
            **changes,
        }
        return GatewaySettings(**fields)

    def gateway(self, **changes: Any) -> "Gateway":
        """A gateway of its own, to be closed."""
        return Gateway(self.settings(**changes))


class Gateway:
    """A gateway that listens, and a client of it."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.background = Background(lambda: running_gateway(settings))
        self.url = f"http://{self.background.address}"
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Close both."""
        self.client.close()
        self.background.close()


def start_house(folder: Path) -> House:
    """The three services over a store with the packaged models and a catalog of a few drawn items."""
    store = folder / "models"
    shutil.copytree(defaults.STORE, store)
    shared: dict[str, Any] = {"store": store, "cache": folder / "cache", "provider": "cpu", "threads": 1}
    embedder = EmbedderSettings(embedder_port=0, embedder_metrics_port=-1, **shared)
    services = {"embedder": Background(lambda: running(embedder, embedder_service(embedder)))}
    peer = {"embedder_address": services["embedder"].address, "poll_s": 0.05, **shared}
    ranker = RankerSettings(ranker_port=0, ranker_metrics_port=-1, **peer)
    recommender = RecommenderSettings(
        recommender_port=0, recommender_metrics_port=-1, catalogue=folder / "catalogue", **peer
    )
    catalog = Catalog(recommender.catalogue)
    services["ranker"] = Background(lambda: running(ranker, ranker_service(ranker)))
    services["recommender"] = Background(
        lambda: running(recommender, recommender_service(recommender, catalog))
    )
    house = House(folder=folder, store=store, services=services)
    _await_serving(house)
    fill(house)
    return house


def stop_house(house: House) -> None:
    """Stop every service, the embedder last."""
    for name in ("recommender", "ranker", "embedder"):
        house.services[name].close()


def fill(house: House) -> None:
    """Insert the drawn items."""
    items = [
        catalog_pb2.UpsertItem(
            item_id=f"item-{number:02}",
            image=drawing(number),
            attributes=write_record(
                {
                    "category": CATEGORIES[number % len(CATEGORIES)],
                    "colour": COLOURS[number % len(COLOURS)],
                    "price": 10.0 * number,
                }
            ),
        )
        for number in range(ITEMS)
    ]
    with RecommenderClient(house.services["recommender"].address) as client:
        client.upsert_items(items)


def _await_serving(house: House) -> None:
    from services.client.health import await_serving

    for name, service in (
        ("embedder", "atelier.embedder.v1.EmbedderService"),
        ("ranker", "atelier.ranker.v1.RankerService"),
        ("recommender", "atelier.recommender.v1.RecommenderService"),
    ):
        await_serving(house.services[name].address, service, timeout_s=120)


def drawing(seed: int, form: str = "JPEG", size: tuple[int, int] = (60, 80)) -> bytes:
    """An encoded picture of coloured blocks, different for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(stream, form)
    return stream.getvalue()


def upload(part: str, data: bytes, name: str = "picture.jpg") -> tuple[str, tuple[str, bytes, str]]:
    """A picture as a part of a form."""
    return part, (name, data, "image/jpeg")


def with_request(body: str) -> tuple[str, tuple[None, str, str]]:
    """The part `request` of a form."""
    return "request", (None, body, "application/json")
