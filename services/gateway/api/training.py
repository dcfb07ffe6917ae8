"""Training runs and their dashboards (D-1)."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from dashboard.document import MOST_POINTS, DashboardDocument
from dashboard.errors import DashboardError, InvalidRunRequest, RunNotFound
from dashboard.runs import MOST_ON_A_PAGE, RunSummary
from services.gateway.api.routing import PICTURES, Named, answer, gateway_of, route
from services.gateway.web.bodies import JSON_TYPE
from services.runtime.authorization import Scope
from services.runtime.errors import DataLoss, InvalidArgument, NotFound, ServiceError

router: Final = APIRouter(tags=["training"])
RunId = Annotated[str, Query(max_length=1_000, description="A run's folder below the folder of runs.")]
T = TypeVar("T")
_COMPRESSED_BYTES: Final = 8 << 10  # a smaller answer goes as it is
_FAST: Final = 1  # level of gzip: half a megabyte in 5 ms
_RUNS: Final = Named(
    name="Runs",
    schema={
        "type": "object",
        "properties": {
            "runs": {"type": "array", "items": {"$ref": "#/components/schemas/RunSummary"}},
            "next_page_token": {"type": "string"},
            "total_count": {"type": "integer"},
        },
        "required": ["runs", "next_page_token", "total_count"],
    },
)
_DASHBOARD: Final = Named(name="DashboardDocument", schema={})  # as its own type describes it
SHOWN: Final = (RunSummary, DashboardDocument)  # what the document describes beside the requests


@route(router, "GET", "/api/runs", scope=Scope.READ, reply=_RUNS)
async def list_runs(
    request: Request,
    page_size: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = 50,
    page_token: Annotated[str, Query(max_length=2_000)] = "",
) -> Response:
    """List training runs, the one that wrote last first."""
    runs = gateway_of(request).runs
    page = await _read(request, lambda: runs.page(page_size=page_size, page_token=page_token))
    listed = [run.model_dump(mode="json") for run in page.runs]
    return answer({"runs": listed, "next_page_token": page.next_page_token, "total_count": page.total_count})


@route(
    router,
    "GET",
    "/api/dashboard",
    scope=Scope.READ,
    reply=_DASHBOARD,
)
async def get_dashboard(
    request: Request,
    run_id: RunId,
    points: Annotated[
        int, Query(ge=2, le=MOST_POINTS, description="Points of a curve at most.")
    ] = MOST_POINTS,
) -> Response:
    """Return a run's dashboard: key figures, curves, searches, hyperparameters and augmented samples."""
    runs = gateway_of(request).runs
    compressed = "gzip" in request.headers.get("accept-encoding", "")

    def document() -> Response:
        data = runs.read(run_id, points=points).model_dump_json().encode().replace(b"<", b"\\u003c")
        headers = {"vary": "accept-encoding"}
        if compressed and len(data) > _COMPRESSED_BYTES:
            data = gzip.compress(data, _FAST)
            headers["content-encoding"] = "gzip"
        return Response(data, 200, headers, JSON_TYPE)

    return await _read(request, document)


@route(router, "GET", "/api/runs/{run_id:path}/files/{name:path}", scope=Scope.READ, reply=PICTURES)
async def get_run_file(
    request: Request,
    run_id: Annotated[str, Path(max_length=1_000)],
    name: Annotated[str, Path(max_length=1_000)],
) -> Response:
    """Return a picture that a run's dashboard names."""
    picture = await _read(request, lambda: gateway_of(request).runs.picture(run_id, name))
    tag = f'"{picture.modified_ns:x}-{len(picture.content):x}"'
    headers = {"etag": tag, "cache-control": "private, no-cache", "vary": "authorization"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.content, 200, headers, picture.media_type)


async def _read(request: Request, ask: Callable[[], T]) -> T:
    """What the folder of runs says, asked on a thread of its own. Raises ServiceError."""
    try:
        return await asyncio.get_running_loop().run_in_executor(gateway_of(request).reading, ask)
    except DashboardError as error:
        raise _meaning(error) from error


def _meaning(error: DashboardError) -> ServiceError:
    match error:
        case InvalidRunRequest():
            return InvalidArgument(str(error))
        case RunNotFound():
            return NotFound(str(error))
        case _:
            return DataLoss(str(error), reason="UNREADABLE_RUN")
