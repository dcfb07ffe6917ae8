"""Which picture is better, and the vectors of pictures and records (R-9)."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Final

from atelier.embedder.v1 import embedder_pb2
from atelier.ranker.v1 import ranker_pb2
from atelier.types.v1 import types_pb2
from fastapi import APIRouter, Request
from pydantic import Field, model_validator
from starlette.responses import Response

from services.client.embedder import NOT_LOADED, attributes_input, image_input
from services.gateway.api.requests import Name, Record, Strict, invalid, read
from services.gateway.api.routing import Named, answer, gateway_of, route
from services.gateway.gateway import Gateway
from services.gateway.web.forms import Upload
from services.gateway.web.replies import reference, write
from services.runtime.authorization import Scope
from services.runtime.errors import FailedPrecondition

router: Final = APIRouter(tags=["rank"])
_MOST_PICTURES: Final = 128
_VECTORS: Final = Named(
    name="Vectors",
    messages=(embedder_pb2.EmbedResult, types_pb2.ModelIdentity, types_pb2.Timings),
    schema={
        "type": "object",
        "properties": {
            "results": {"type": "array", "items": reference(embedder_pb2.EmbedResult)},
            "models": {"type": "array", "items": {"$ref": "#/components/schemas/ModelIdentity"}},
            "timings": {"$ref": "#/components/schemas/Timings"},
        },
        "required": ["results", "models"],
    },
)
_RANKING: Final = Named(
    name="Ranking",
    messages=(ranker_pb2.Placement, types_pb2.ItemError, types_pb2.ModelIdentity, types_pb2.Timings),
    schema={
        "type": "object",
        "properties": {
            "placements": {"type": "array", "items": reference(ranker_pb2.Placement)},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/ItemError"}},
            "pairwise_probabilities": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number"}},
                "description": "P(row better than column), a row and a column a placement, in their order.",
            },
            "models": {"type": "array", "items": {"$ref": "#/components/schemas/ModelIdentity"}},
            "tie_margin": {"type": "number"},
            "temperature": {"type": "number"},
            "uncertainty_weight": {"type": "number"},
            "timings": {"$ref": "#/components/schemas/Timings"},
        },
        "required": ["placements", "errors", "pairwise_probabilities", "models", "tie_margin", "temperature"],
    },
)


class RankBody(Strict):
    """Options of a ranking of the pictures in the parts `images`."""

    tie_margin: Annotated[float, Field(ge=0)] | None = None
    include_pairwise: bool = True
    min_probability: Annotated[float, Field(ge=0.5, le=1)] | None = None


class CompareBody(Strict):
    """Options of a comparison of the pictures in the parts `image_a` and `image_b`."""

    min_probability: Annotated[float, Field(ge=0.5, le=1)] | None = None


class EmbedBody(Strict):
    """Attribute records to embed, or pictures in the parts `images`, and by which model."""

    attributes: Annotated[tuple[Record, ...], Field(max_length=128)] = ()
    space_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    model: Name | None = Field(None, description="Default: fashion-image, or fashion-attributes for records.")
    alias: Name = "production"

    @model_validator(mode="after")
    def _check_model(self) -> "EmbedBody":
        if self.space_id is not None and self.model is not None:
            raise ValueError("space_id and model exclude each other")
        return self


@route(
    router,
    "POST",
    "/api/rank",
    scope=Scope.READ,
    body=RankBody,
    parts={"images": _MOST_PICTURES},
    is_json=False,
    reply=_RANKING,
)
async def rank(request: Request) -> Response:
    """Order pictures from best to worst; their file names are their ids."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, {"images": _MOST_PICTURES}) as sent:
        body = read(RankBody, sent.json)
        pictures = sent.all("images")
        if not pictures:
            raise invalid("pictures in the parts images are required", "images")
        message = ranker_pb2.RankRequest(
            candidates=[
                ranker_pb2.Candidate(id=name, image=picture.data)
                for name, picture in zip(unique_names(pictures), pictures, strict=True)
            ],
            options=ranker_pb2.RankOptions(
                tie_margin=body.tie_margin,
                include_pairwise=body.include_pairwise,
                min_probability=body.min_probability,
                no_store=True,
            ),
        )
        reply = await gateway.ranker.call("Rank", message)
    written = write(reply)
    written["pairwise_probabilities"] = _rows(written["pairwise_probabilities"], len(reply.placements))
    return answer(written)


@route(
    router,
    "POST",
    "/api/compare",
    scope=Scope.READ,
    body=CompareBody,
    parts={"image_a": 1, "image_b": 1},
    is_json=False,
    reply=ranker_pb2.CompareResponse,
)
async def compare(request: Request) -> Response:
    """Return how probably one picture is better than another."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, {"image_a": 1, "image_b": 1}) as sent:
        body = read(CompareBody, sent.json)
        image_a, image_b = sent.only("image_a"), sent.only("image_b")
        if image_a is None or image_b is None:
            raise invalid(
                "pictures in the parts image_a and image_b are required",
                "image_a" if image_a is None else "image_b",
            )
        message = ranker_pb2.CompareRequest(
            candidate_a=ranker_pb2.Candidate(id="a", image=image_a),
            candidate_b=ranker_pb2.Candidate(id="b", image=image_b),
            min_probability=body.min_probability,
            no_store=True,
        )
        reply = await gateway.ranker.call("Compare", message)
    return answer(write(reply))


@route(
    router,
    "POST",
    "/api/embed",
    scope=Scope.READ,
    body=EmbedBody,
    parts={"images": _MOST_PICTURES},
    reply=_VECTORS,
)
async def embed(request: Request) -> Response:
    """Return vectors of pictures or of attribute records, with the model that made them."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, {"images": _MOST_PICTURES}) as sent:
        body = read(EmbedBody, sent.json)
        pictures = sent.all("images")
        if bool(pictures) == bool(body.attributes):
            raise invalid("either attributes or pictures in the parts images are required", "attributes")
        reply = await _embedded(gateway, _embed_message(body, pictures))
    written = write(reply)
    model = written.pop("model", None)
    return answer(
        {
            "results": written["results"],
            "models": [model] if model else [],
            "timings": written.get("timings", {}),
        }
    )


async def _embedded(gateway: Gateway, message: embedder_pb2.EmbedRequest) -> embedder_pb2.EmbedResponse:
    """The reply; a space that is not in memory is prepared first, once."""
    try:
        reply: embedder_pb2.EmbedResponse = await gateway.embedder.call("Embed", message)
    except FailedPrecondition as error:
        if error.reason != NOT_LOADED or not message.space_id:
            raise
        prepare = embedder_pb2.PrepareModelRequest(space_id=message.space_id)
        await gateway.embedder.call("PrepareModel", prepare)
        reply = await gateway.embedder.call("Embed", message)
    return reply


def _embed_message(body: EmbedBody, pictures: Sequence[Upload]) -> embedder_pb2.EmbedRequest:
    inputs = [
        image_input(picture.data, name)
        for name, picture in zip(unique_names(pictures), pictures, strict=True)
    ]
    try:
        inputs += [attributes_input(record) for record in body.attributes]
    except (ValueError, TypeError):
        raise invalid("attributes hold a value that no record holds", "attributes") from None
    if body.space_id is not None:
        return embedder_pb2.EmbedRequest(space_id=body.space_id, inputs=inputs, no_store=True)
    model = embedder_pb2.ModelReference(
        name=body.model or ("fashion-image" if pictures else "fashion-attributes"), alias=body.alias
    )
    return embedder_pb2.EmbedRequest(model=model, inputs=inputs, no_store=True)


def unique_names(pictures: Sequence[Upload]) -> list[str]:
    """A name a picture, in order: that of its file, numbered where several have it; `picture` without one."""
    taken = {picture.name for picture in pictures}
    seen: Counter[str] = Counter()
    names = []
    for picture in pictures:
        name = base = picture.name or "picture"
        seen[base] += 1
        while seen[base] > 1 and (name in taken or name == base):
            name = f"{base} ({seen[base]})"
            if name in taken:
                seen[base] += 1
        taken.add(name)
        names.append(name)
    return names


def _rows(flat: Any, width: int) -> list[Any]:
    return [flat[start : start + width] for start in range(0, len(flat), width)] if width else []
