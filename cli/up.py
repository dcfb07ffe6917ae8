"""`atelier up | health`: the services in the foreground, supervised, and whether one of them serves."""

import os
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated

from typer import Argument, Option

from cli.command import DEFAULT_STORE, Store
from cli.errors import USAGE, CommandError
from cli.output import print_answer, print_line, print_table
from cli.security import security
from cli.supervisor import ServiceSpec, Supervisor
from services.client.health import await_serving
from services.runtime.settings import unknown_variables

SERVICES = ("embedder", "ranker", "recommender")


def specs(store: Path, data: Path, *, any_port: bool = False) -> list[ServiceSpec]:
    """The three services over one store and one data directory.

    any_port: let each choose a free port instead of its usual one.
    """
    shared = {
        "ATELIER_STORE": str(store),
        "ATELIER_CACHE": str(data / "cache"),
        "ATELIER_CATALOGUE": str(data / "catalogue"),
    }
    if any_port:
        for name in SERVICES:
            shared[f"ATELIER_{name.upper()}_PORT"] = "0"
            shared[f"ATELIER_{name.upper()}_METRICS_PORT"] = "0"
    return [
        ServiceSpec(name="embedder", environment=shared),
        ServiceSpec(name="ranker", environment=shared, needs=("embedder",)),
        ServiceSpec(name="recommender", environment=shared, needs=("embedder",)),
    ]


def up(
    store: Store = DEFAULT_STORE,
    data: Annotated[Path, Option(help="Directory of the cache, the catalog and the logs.")] = Path("var"),
    any_port: Annotated[bool, Option("--any-port", help="Let every service choose a free port.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Run embedder, ranker and recommender until Ctrl-C; restart a service that dies."""
    unknown = unknown_variables(os.environ)
    if unknown:
        raise CommandError("; ".join(unknown), "unset it, or correct its name", USAGE)
    if not store.is_dir():
        raise CommandError(
            f"no model store at {store}",
            "`atelier models defaults` adds packaged models, `python trainer/export.py` publishes others",
        )
    supervisor = Supervisor(specs(store, data, any_port=any_port), data / "run")
    stopping = _stop_on_signal()
    addresses = supervisor.start()
    try:
        body = {name: {**asdict(each), "log": str(supervisor.log(name))} for name, each in addresses.items()}
        print_answer(body, _print_addresses, as_json=as_json)
        while not stopping.wait(0.5):
            supervisor.watch(print_line)
    finally:
        codes = supervisor.stop()
    if any(codes.values()):
        raise CommandError(f"not every service stopped cleanly; exit codes: {codes}")
    if not as_json:
        print_line("all services stopped")


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
    print_table("", ("service", "gRPC", "metrics", "log"), rows)
    print_line("Ctrl-C stops all services.")


def _stop_on_signal() -> threading.Event:
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopping
