"""The application: every route, inside the middleware."""

from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from services.gateway import page_files
from services.gateway.api import bestsellers, insight, items, models, rank, recommend, status, training
from services.gateway.api.requests import path
from services.gateway.document import openapi_document
from services.gateway.gateway import Gateway
from services.gateway.web.middleware import GatewayMiddleware, problem_response
from services.gateway.web.problems import HttpProblem
from services.gateway.web.replies import encode
from services.runtime.context import present_call
from services.runtime.errors import InvalidArgument, NotFound, ServiceError, Unimplemented

_ROUTERS: Final = (
    recommend.router,
    bestsellers.router,
    rank.router,
    items.router,
    insight.router,
    models.router,
    training.router,
    status.router,
    status.probes,
    page_files.router,
)


def gateway_app(gateway: Gateway) -> ASGIApp:
    """The application of a gateway."""
    app = routed_app()
    app.state.gateway = gateway
    return GatewayMiddleware(app, gateway.settings, gateway.figures)


def routed_app() -> FastAPI:
    """Every route, without a gateway behind it."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for router in _ROUTERS:
        app.router.routes.extend(router.routes)  # as they are: a router within one is looked up twice
    document = encode(openapi_document(app))

    async def get_document(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    app.add_route("/openapi.json", get_document)
    app.add_exception_handler(ServiceError, _answer_problem)
    app.add_exception_handler(HttpProblem, _answer_problem)
    app.add_exception_handler(RequestValidationError, _answer_problem)
    app.add_exception_handler(HTTPException, _answer_problem)
    return app


async def _answer_problem(_request: Request, error: Exception) -> Response:
    call = present_call()
    return problem_response(_problem(error), call.request_id if call else "")


def _problem(error: Exception) -> HttpProblem:
    match error:
        case HttpProblem():
            return error
        case ServiceError():
            return HttpProblem.of(error)
        case RequestValidationError():
            return _wrong_parameters(error)
        case HTTPException(status_code=404):
            return HttpProblem.of(NotFound("there is no such route", reason="NO_ROUTE"))
        case HTTPException(status_code=405):
            return HttpProblem(405, Unimplemented("the route takes other methods", reason="NO_METHOD"))
        case _:
            raise error


def _wrong_parameters(error: RequestValidationError) -> HttpProblem:
    """Parameters of the path and the query that are missing, of a wrong type or out of range."""
    faults = [(path(tuple(fault["loc"][1:])), str(fault["msg"])[:300]) for fault in error.errors()]
    text = f"{faults[0][0]}: {faults[0][1]}"
    return HttpProblem(400, InvalidArgument(text, reason="INVALID_REQUEST"), faults)
