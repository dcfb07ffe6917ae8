"""What the settings name: variables, disks, ports, the model store, the catalog, the runs."""

import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cli.doctor.check import Check
from cli.security import security
from dashboard.runs import RunCatalogue
from model_store.errors import StoreError
from model_store.store import ModelStore, Version
from services.client.health import await_serving
from services.embedder.settings import EmbedderSettings
from services.gateway.settings import GatewaySettings
from services.ranker.settings import RankerSettings
from services.recommender.settings import RecommenderSettings
from services.runtime.errors import ServiceError
from services.runtime.settings import ServiceSettings, unknown_variables

_ANYWHERE: Final = ("0.0.0.0", "::", "[::]")  # noqa: S104 - compared, never bound
_PATIENCE_S: Final = 2.0
_MIB: Final = 1 << 20
# Below the first a model of the size of FashionCLIP cannot be published, below the second nothing is safe.
_ROOM, _NO_ROOM = 2_048 * _MIB, 256 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    """The settings of every service, as it would read them."""

    embedder: EmbedderSettings
    ranker: RankerSettings
    recommender: RecommenderSettings
    gateway: GatewaySettings


def check_places() -> Iterator[Check]:
    """Everything that the settings name; only the settings, where they cannot be read."""
    unknown, remedy = unknown_variables(os.environ), "unset it, or correct its name"
    yield from (Check(name="settings", state="fail", detail=line, remedy=remedy) for line in unknown)
    try:
        settings = ReadSettings(
            embedder=EmbedderSettings(),
            ranker=RankerSettings(),
            recommender=RecommenderSettings(),
            gateway=GatewaySettings(),
        )
    except ValidationError as error:
        yield _refused(error)
        return
    if not unknown:
        count = sum(name.upper().startswith("ATELIER_") for name in os.environ)
        yield Check(
            name="settings", state="ok", detail=f"{count} variables ATELIER_* are set, all of them known"
        )
    yield from _disks(settings)
    yield from _ports(settings)
    yield from check_store(settings.ranker, settings.recommender)
    yield from check_catalog(settings.recommender.catalogue)
    yield from check_runs(settings.gateway.runs)


def _refused(error: ValidationError) -> Check:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    name = "ATELIER_" + "__".join(str(part) for part in first["loc"]).upper()
    remedy = "docs/settings.md lists what it may be"
    return Check(name="settings", state="fail", detail=f"{name}: {first['msg']}", remedy=remedy)


def _disks(settings: ReadSettings) -> Iterator[Check]:
    places = {
        "disk of the store": settings.ranker.store,
        "disk of the cache": settings.embedder.cache,
        "disk of the catalog": settings.recommender.catalogue,
        "disk of the runs": settings.gateway.runs,
    }
    yield from (check_disk(name, path) for name, path in places.items())


def check_disk(name: str, path: Path) -> Check:
    """Room and the right to write where `path` is, or would be made."""
    places = (path.absolute(), *path.absolute().parents)
    present = next(place for place in places if os.access(place, os.F_OK))
    if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
        remedy = f"let this user write to {present}, or name another directory"
        return Check(name=name, state="fail", detail=f"{present} is not writable", remedy=remedy)
    free = shutil.disk_usage(present).free
    detail = f"{path}: {free / (1 << 30):.1f} GiB free"
    if free >= _ROOM:
        return Check(name=name, state="ok", detail=detail)
    remedy = "make room: `atelier models gc` removes versions that nothing reaches; var/cache may be deleted"
    return Check(name=name, state="fail" if free < _NO_ROOM else "warn", detail=detail, remedy=remedy)


def _ports(settings: ReadSettings) -> Iterator[Check]:
    ports = {
        "embedder": (settings.embedder.embedder_port, settings.embedder.embedder_metrics_port),
        "ranker": (settings.ranker.ranker_port, settings.ranker.ranker_metrics_port),
        "recommender": (settings.recommender.recommender_port, settings.recommender.recommender_metrics_port),
        "gateway": (settings.gateway.gateway_port, settings.gateway.gateway_metrics_port),
    }
    for name, numbers in ports.items():
        yield check_ports(name, settings.embedder, numbers, speaks_grpc=name != "gateway")


def check_ports(name: str, settings: ServiceSettings, ports: tuple[int, int], *, speaks_grpc: bool) -> Check:
    """Whether the ports of a service (main, metrics) are free, or the service itself is behind them."""
    port, metrics = ports
    taken = [number for number in ports if number > 0 and not _is_free(settings.host, number)]
    if not taken:
        return Check(name=f"ports of the {name}", state="ok", detail=f"{port} and {metrics} are free")
    host = "127.0.0.1" if settings.host in _ANYWHERE else settings.host
    silence = _silence if speaks_grpc else partial(_web_silence, has_tls=settings.tls_certificate is not None)
    reason = f"{port} is free" if port not in taken else silence(f"{host}:{port}")
    if not reason:
        return Check(name=f"ports of the {name}", state="ok", detail=f"it is running at {host}:{port}")
    numbers, variable = " and ".join(map(str, taken)), f"ATELIER_{name.upper()}"
    return Check(
        name=f"ports of the {name}",
        state="fail",
        detail=f"another program uses {numbers}: {reason}",
        remedy=f"stop that program, or set {variable}_PORT and {variable}_METRICS_PORT",
    )


def _silence(address: str) -> str:
    """Why what listens at an address is no service of Atelier; empty where it answers as one."""
    try:
        await_serving(address, "", timeout_s=0, security=security())
    except (ServiceError, OSError) as error:
        return str(error)
    return ""


def _web_silence(address: str, *, has_tls: bool) -> str:
    """Why what listens at an address is no gateway; empty where it answers as one. Nothing secret is sent."""
    host, _, port = address.rpartition(":")
    if has_tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        opened: HTTPConnection = HTTPSConnection(host, int(port), timeout=_PATIENCE_S, context=context)
    else:
        opened = HTTPConnection(host, int(port), timeout=_PATIENCE_S)
    try:
        with closing(opened) as connection:
            connection.request("GET", "/healthz", headers={"Host": "localhost"})  # a name that it always has
            status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return str(error)
    return "" if status == HTTPStatus.OK else f"/healthz answers {status}"


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port whose connections are closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return False
    return True


def check_store(ranker: RankerSettings, recommender: RecommenderSettings) -> Iterator[Check]:
    """Whether every version is as it was published, and what the services would serve."""
    path, name = ranker.store, "model store"
    publish = f"`atelier models defaults --store {path}` publishes the packaged models"
    if not path.is_dir():
        yield Check(name=name, state="warn", detail=f"there is none at {path}", remedy=publish)
        return
    models = ModelStore.at(path)
    count, problems = 0, []
    for model in models.names():
        for number in models.numbers(model):
            count += 1
            try:
                models.verify(models.open(model, number))
            except StoreError as error:
                problems.append(str(error))
    if problems:
        remedy = "promote a whole version, or export it again; `atelier models verify` lists all"
        detail = f"{len(problems)} of {count} versions are damaged: {problems[0]}"
        yield Check(name=name, state="fail", detail=detail, remedy=remedy)
    elif not count:
        yield Check(name=name, state="warn", detail=f"{path} is empty", remedy=publish)
        return
    else:
        yield Check(name=name, state="ok", detail=f"{path}: {count} versions, all as published")
    wanted: dict[str, tuple[str, ...]] = {"ranker": (ranker.ranker_model,)}
    wanted |= {f"collection {name}": leads for name, leads in recommender.collections.items()}
    yield from (_lead(models, consumer, leads, publish) for consumer, leads in wanted.items())


def _lead(models: ModelStore, consumer: str, leads: tuple[str, ...], publish: str) -> Check:
    name = f"model of the {consumer}"
    served = next(filter(None, (_in_production(models, lead) for lead in leads)), None)
    if served is None:
        detail = f"none of {', '.join(leads)} is in production"
        return Check(name=name, state="warn", detail=detail, remedy=publish)
    if not served.manifest.provenance.trained:
        remedy = "train a head and publish it: docs/training_guide.md"
        return Check(name=name, state="warn", detail=f"{served} is untrained", remedy=remedy)
    return Check(name=name, state="ok", detail=str(served))


def _in_production(models: ModelStore, model: str) -> Version | None:
    """The version in production; None where there is none that can be read."""
    try:
        return models.resolve(model)
    except StoreError:
        return None


def check_catalog(root: Path) -> Iterator[Check]:
    """Whether every row and picture of the catalog is as it was written."""
    from services.recommender.backup import examine
    from services.recommender.catalog.database import FILE
    from services.recommender.errors import CatalogError

    if not (root / FILE).is_file():
        detail = f"none in {root} yet"
        yield Check(name="catalog", state="ok", detail=f"{detail}; the recommender makes one")
        return
    try:
        held = examine(root)
    except (CatalogError, OSError) as error:
        remedy = "stop the recommender and restore a backup: `atelier catalog restore BACKUP`"
        yield Check(name="catalog", state="fail", detail=str(error), remedy=remedy)
        return
    detail = f"{root}: {held.item_count} items and {held.picture_count} pictures, all as written"
    yield Check(name="catalog", state="ok", detail=detail)


def check_runs(root: Path) -> Iterator[Check]:
    """Whether the training runs can be shown."""
    page = RunCatalogue(root).page(page_size=200)
    broken = [run for run in page.runs if run.problem is not None]
    if broken:
        detail = f"{len(broken)} of {len(page.runs)} runs cannot be shown: {broken[0].problem}"
        remedy = "delete results/run.json of such a run, or train it again with --resume"
        yield Check(name="training runs", state="warn", detail=detail, remedy=remedy)
    else:
        yield Check(name="training runs", state="ok", detail=f"{root}: {page.total_count}")
