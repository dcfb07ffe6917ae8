"""The OpenAPI document: typed requests and replies, good enough to generate a typed client from (R-7)."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.api import models, training
from services.gateway.api.routing import DECLARED, Declared
from services.gateway.web.problems import PROBLEM_SCHEMA, VIOLATION_SCHEMA
from services.gateway.web.replies import schemas

_REFERENCE: Final = "#/components/schemas/{model}"
_DESCRIPTION: Final = (
    "Recommendations of garments, rankings of artworks, the catalog, the models and the training runs.\n\n"
    "Errors are problem details (RFC 9457). A picture is JPEG, PNG or WEBP. In a form, the part `request` "
    "holds the JSON that a request without pictures would have. Where the gateway asks for tokens, send one "
    "as `Authorization: Bearer TOKEN`; `x-scope` says what it must allow."
)


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document of an application's routes."""
    body = get_openapi(
        title="Atelier", version=_version(), description=_DESCRIPTION, routes=app.routes, tags=_tags()
    )
    for operations in body["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)  # a request that is wrong is a problem, as any other
            operation["security"] = [{}, {"token": []}]
    body["components"] = {
        "schemas": dict(sorted(_schemas(app).items())),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    return body


def _schemas(app: FastAPI) -> dict[str, Any]:
    collected: dict[str, Any] = {"Problem": PROBLEM_SCHEMA, "FieldViolation": VIOLATION_SCHEMA}
    read, shown = list[type[BaseModel]](), list[type[BaseModel]](training.SHOWN)
    for route in app.routes:
        declared: Declared | None = (
            getattr(route.endpoint, DECLARED, None) if isinstance(route, APIRoute) else None
        )
        if declared is not None:
            read += [declared.body] if declared.body else []
            if declared.named is not None:
                collected[declared.named.name] = declared.named.schema
            for message in declared.messages:
                collected |= schemas(message)
    collected |= {each.name: each.schema for each in (models.ALIAS, models.VERSION)}
    for kinds, mode in ((read, "validation"), (shown, "serialization")):
        pairs: Any = [(kind, mode) for kind in kinds]
        collected |= models_json_schema(pairs, ref_template=_REFERENCE)[1]["$defs"]
    return collected


def _tags() -> list[dict[str, str]]:
    return [
        {"name": "recommend", "description": "What belongs here."},
        {"name": "rank", "description": "Which picture is better, and vectors."},
        {"name": "catalog", "description": "Items and their pictures."},
        {"name": "insight", "description": "Feedback, trends, key figures and the index."},
        {"name": "models", "description": "Versions and aliases."},
        {"name": "training", "description": "Runs and their dashboards."},
        {"name": "status", "description": "The services behind the gateway."},
    ]


def _version() -> str:
    try:
        return version("atelier")
    except PackageNotFoundError:
        return "0"
