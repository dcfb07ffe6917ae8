"""`atelier up | health | gpu`: the services in the foreground, whether one serves, and whether a GPU does."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated

from typer import Argument, Option

from cli.command import DEFAULT_STORE, Store
from cli.default_models import packaged, publish_missing
from cli.errors import USAGE, CommandError
from cli.output import print_answer, print_line, print_notice, print_table
from cli.recommend import CollectionAddress
from cli.samples import draw_samples, import_garments, reason_to_leave
from cli.security import security
from cli.supervisor import ServiceSpec, Supervisor
from inference.errors import InferenceError
from inference.runtimes.device import SessionSettings, cuda_devices
from inference.runtimes.onnx import built_with_cuda
from inference.session import open_session
from inference.signature import graph_file
from model_store.durable import write_text
from model_store.store import ModelStore
from services.client.health import await_serving
from services.runtime.errors import ServiceError
from services.runtime.settings import unknown_variables

SERVICES = ("embedder", "ranker", "recommender")
GATEWAY = "gateway"
_SAMPLES_WANTED = ".samples-wanted"


def specs(store: Path, data: Path, *, any_port: bool = False, has_gateway: bool = True) -> list[ServiceSpec]:
    """The three services and the gateway over one store and one data directory.

    any_port: let each choose a free port instead of its usual one.
    """
    shared = {
        "ATELIER_STORE": str(store),
        "ATELIER_CACHE": str(data / "cache"),
        "ATELIER_CATALOGUE": str(data / "catalogue"),
        "ATELIER_RUNS": os.environ.get("ATELIER_RUNS", str(data / "runs")),
    }
    if any_port:
        for name in (*SERVICES, GATEWAY):
            shared[f"ATELIER_{name.upper()}_PORT"] = "0"
            shared[f"ATELIER_{name.upper()}_METRICS_PORT"] = "0"
    return [
        ServiceSpec(name="embedder", environment=shared),
        ServiceSpec(name="ranker", environment=shared, needs=("embedder",)),
        ServiceSpec(name="recommender", environment=shared, needs=("embedder",)),
        *([ServiceSpec(name=GATEWAY, environment=shared, needs=SERVICES)] if has_gateway else []),
    ]


def up(
    store: Store = DEFAULT_STORE,
    data: Annotated[Path, Option(help="Directory of the cache, the catalog and the logs.")] = Path("var"),
    any_port: Annotated[bool, Option("--any-port", help="Let every service choose a free port.")] = False,
    fill: Annotated[
        bool,
        Option(
            "--samples/--no-samples",
            help="Where this start publishes the packaged models, fill an empty catalog with drawn garments.",
        ),
    ] = True,
    as_json: Annotated[bool, Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Run embedder, ranker, recommender and the gateway until Ctrl-C; restart a service that dies.

    The models that come with Atelier are published into a store that is empty or not there yet.
    """
    unknown = unknown_variables(os.environ)
    if unknown:
        raise CommandError("; ".join(unknown), "unset it, or correct its name", USAGE)
    # Kept until the catalog is filled: this start may be interrupted, or a port be in use.
    wanted = data / _SAMPLES_WANTED
    if _publish_into_empty(store, print_notice) and fill:
        write_text(wanted, "", sync=False)
    supervisor = Supervisor(specs(store, data, any_port=any_port), data / "run")
    stopping = _stop_on_signal()
    addresses = supervisor.start()
    try:
        body = {name: {**asdict(each), "log": str(supervisor.log(name))} for name, each in addresses.items()}
        print_answer(body, _print_addresses, as_json=as_json)
        if fill and wanted.exists():
            _fill(addresses["recommender"].grpc, data / "samples", print_notice)
            wanted.unlink()
        while not stopping.wait(0.5):
            supervisor.watch(print_line)
    finally:
        codes = supervisor.stop()
    if any(codes.values()):
        raise CommandError(f"not every service stopped cleanly; exit codes: {codes}")
    if not as_json:
        print_line("all services stopped")


def _publish_into_empty(store: Path, notify: Callable[[str], None]) -> bool:
    """Whether the packaged models were published: into a store without any model, or where none is yet."""
    if store.is_dir() and ModelStore.at(store).names():
        return False
    state = "is empty" if store.is_dir() else "is not there yet"
    notify(f"{store} {state}: publishing the models that come with Atelier")
    return bool(publish_missing(store, notify))


def _fill(address: str, folder: Path, notify: Callable[[str], None]) -> None:
    """Fill the empty catalog; the services go on if that fails, and the reason is printed."""
    try:
        await_serving(address, "atelier.recommender.v1.RecommenderService", timeout_s=60, security=security())
        with CollectionAddress(address=address).client() as recommender:
            reason = reason_to_leave(recommender, "fashion")
            if not reason:
                count = import_garments(recommender, draw_samples(folder).garments)
    except (ServiceError, CommandError, OSError) as error:
        reason = str(error)
    outcome = f"no sample garments: {reason}" if reason else f"{count} sample garments imported from {folder}"
    notify(outcome)


def gpu(
    command: Annotated[
        list[str] | None, Argument(help="Command to run on success, with its arguments, after --.")
    ] = None,
) -> None:
    """Run a packaged model on CUDA, then the command; exit with 1 and the reason if CUDA does not work."""
    model = packaged().resolve("artwork-backbone")
    try:
        reason = missing_cuda(model.path(graph_file(model.manifest)))
    except InferenceError as error:
        reason = str(error)
    if reason:
        raise CommandError(
            f"no graph runs on CUDA here: {reason}",
            "the image needs CUDA, cuDNN and the extra serve-gpu, the container a device; without a GPU, "
            "leave out docker-compose.gpu.yml",
        )
    print_line(f"CUDA works: {cuda_devices().name}")
    if command:
        os.execvp(command[0], command)  # noqa: S606  # the process becomes the command, signals and all


def missing_cuda(graph: Path) -> str:
    """Why a graph does not run on CUDA here; empty if it does. Raises InferenceError: if it does not load."""
    if not cuda_devices().count:
        return "the driver reports no device (libcuda.so.1 is missing, or sees none)"
    if not built_with_cuda():
        return "this onnxruntime is built for the CPU alone"
    fell_back = open_session(graph, SessionSettings(provider="cuda")).fell_back
    return (
        "its libraries (CUDA, cuDNN) cannot be loaded; the log above names the missing one"
        if fell_back
        else ""
    )


def health(
    address: Annotated[str, Argument(help="Host and port of a service, as in 127.0.0.1:50052.")],
    service: Annotated[
        str,
        Option(help="Full name of the service, as in atelier.ranker.v1.RankerService. Default: the process."),
    ] = "",
    timeout: Annotated[float, Option(min=0.0, help="Seconds to wait for SERVING; 0 asks once.")] = 0.0,
) -> None:
    """Exit with 0 once a service is SERVING, with 3 otherwise; for container probes and scripts."""
    await_serving(address, service, timeout_s=timeout, security=security())
    print_line(f"{service or 'process'} at {address}: SERVING")


def _print_addresses(body: dict[str, dict[str, str]]) -> None:
    rows = [(name, *places.values()) for name, places in body.items()]
    print_table("", ("service", "address", "metrics", "log"), rows)
    print_line(f"The page is at http://{body[GATEWAY]['grpc']}/ . Ctrl-C stops all services.")


def _stop_on_signal() -> threading.Event:
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopping
