"""The contents of questions into vectors. Legend: D dimensions."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference.errors import InvalidInput
from services.client.embedder import AsyncEmbedderClient, EmbeddedInputs
from services.messages.contents import CallerVector
from services.recommender.errors import ERRORS
from services.recommender.executors import Executors
from services.recommender.recommend.query import Content, ItemIds, Picture, Record, blend
from services.recommender.release.leads import CollectionRelease
from services.recommender.view.view import CatalogView
from services.runtime.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    ServiceError,
    to_service_error,
)
from vector_index.view import SegmentedView

Contents = Sequence[Content | ServiceError | None]
VectorOrError = np.ndarray | ServiceError

_NOTHING_EMBEDDED = EmbeddedInputs()


class ContentReader:
    """Has pictures and records embedded."""

    def __init__(self, executors: Executors, embedder: AsyncEmbedderClient) -> None:
        self._executors = executors
        self._embedder = embedder

    async def embed(
        self, contents: Contents, release: CollectionRelease
    ) -> tuple[dict[int, VectorOrError], EmbeddedInputs]:
        """A vector or an error for each picture and record, by its position; the time that it took.

        Raises ServiceError: if the embedder is needed and cannot be asked.
        """
        pictures: dict[int, bytes] = {}
        records: dict[int, Mapping[str, Any]] = {}
        for index, content in enumerate(contents):
            if isinstance(content, Picture):
                pictures[index] = content.data
            elif isinstance(content, Record):
                records[index] = content.attributes
        if not pictures and not records:
            return {}, _NOTHING_EMBEDDED
        outcomes: dict[int, VectorOrError] = {}
        if records:
            outcomes.update(await self._executors.read(lambda: _refused(records, release)))
            records = {index: record for index, record in records.items() if index not in outcomes}
        if pictures and not release.models.encoders:
            outcomes.update(dict.fromkeys(pictures, _takes_no_pictures(release)))
            pictures = {}
        parts = await asyncio.gather(
            self._embedder.pictures(list(pictures.values()), release.models.image, no_store=True, bulk=False),
            self._embedder.records(list(records.values()), release.models.lead),
        )
        outcomes.update(zip((*pictures, *records), (*parts[0].outcomes, *parts[1].outcomes), strict=True))
        # The two ran side by side, so the wait was that of the longer one.
        return outcomes, max(parts, key=lambda part: part.times.total_ms)


def read_vector(
    content: Content | ServiceError | None,
    labels: Sequence[int],
    release: CollectionRelease,
    view: SegmentedView,
) -> VectorOrError | None:
    """The vector or the error of a content that needs no embedding; None without one.

    labels: of the items that it names, as far as they exist.
    """
    if isinstance(content, ItemIds):
        return _of_items(content, labels, release.index.collection, view)
    if isinstance(content, CallerVector):
        return _checked(content, release)
    return content if isinstance(content, ServiceError) else None


def _of_items(named: ItemIds, labels: Sequence[int], collection: str, view: SegmentedView) -> VectorOrError:
    """The mean of the items' vectors, each of norm 1."""
    if len(labels) < len(named.item_ids):
        catalogue: CatalogView = view.attached
        absent = next(item_id for item_id in named.item_ids if catalogue.label_of(item_id) is None)
        return NotFound(f"the collection {collection} has no item {absent}", reason="NO_ITEM")
    rows = list[np.ndarray]()
    for item_id, label in zip(named.item_ids, labels, strict=True):
        row = view.vector(label)
        if row is None:
            return DataLoss(f"item {item_id} has no readable vector", reason="DAMAGED")
        rows.append(row)
    try:
        return rows[0] if len(rows) == 1 else blend(rows, ()).direction_D
    except ServiceError as error:
        return error


def _checked(vector: CallerVector, release: CollectionRelease) -> VectorOrError:
    try:
        return release.check_vector(vector, comparable=True)
    except (ServiceError, InvalidInput) as error:
        return to_service_error(error, ERRORS)


def _takes_no_pictures(release: CollectionRelease) -> ServiceError:
    return FailedPrecondition(
        f"the collection {release.index.collection} follows {release.models.lead.name}, "
        "which embeds no pictures",
        reason="NO_PICTURES",
    )


def _refused(
    records: Mapping[int, Mapping[str, Any]], release: CollectionRelease
) -> dict[int, VectorOrError]:
    """The errors of records that the lead cannot read, found without a call of the embedder."""
    schema, errors = release.models.schema, dict[int, VectorOrError]()
    for index, record in records.items():
        try:
            if schema is None:
                raise FailedPrecondition(
                    f"the collection {release.index.collection} follows {release.models.lead.name}, "
                    "which reads no attributes",
                    reason="NO_ATTRIBUTES",
                )
            schema.normalise(record)
        except (ServiceError, InvalidInput) as error:
            errors[index] = to_service_error(error, ERRORS)
    return errors
