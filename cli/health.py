"""`atelier health`: whether a service answers, as an exit code; for container probes and scripts."""

from typing import Annotated

import typer

from cli.errors import reported
from cli.output import console
from cli.security import security
from services.client.health import await_serving


def health(
    address: Annotated[str, typer.Argument(help="Host and port.")],
    service: Annotated[
        str, typer.Option(help="Full name, such as atelier.ranker.v1.RankerService; the process otherwise.")
    ] = "",
    timeout: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for SERVING.")] = 0.0,
) -> None:
    """Exit with 0 once the service is SERVING."""
    with reported():
        await_serving(address, service, timeout_s=timeout, security=security())
    console.print(f"{service or 'process'} at {address}: SERVING", highlight=False)
