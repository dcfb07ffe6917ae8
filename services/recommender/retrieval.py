"""Retrieval: contents into vectors, vectors into a direction, the nearest items to it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.errors import InvalidInput
from services.client.embedder import AsyncEmbedderClient, EmbeddedInputs
from services.messages.contents import CallerVector
from services.recommender.attributes import filter_words
from services.recommender.catalog.items import ItemConditions
from services.recommender.catalog.store import Catalog
from services.recommender.errors import ERRORS, DamagedCatalog
from services.recommender.executors import Executors
from services.recommender.query import (
    Content,
    ItemIds,
    Picture,
    Question,
    Record,
    SearchResult,
    blend,
    search,
)
from services.recommender.release.leads import CollectionRelease, LeadModels
from services.runtime.errors import FailedPrecondition, NotFound, ServiceError, to_service_error

VectorOrError = np.ndarray | ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """The items, nearest first; errors of single examples by index, counting the positive ones first."""

    result: SearchResult
    errors: dict[int, ServiceError]
    models: LeadModels
    embedded: EmbeddedInputs


class Retriever:
    """Answers the questions of every collection."""

    def __init__(self, catalog: Catalog, executors: Executors, embedder: AsyncEmbedderClient) -> None:
        self._catalog = catalog
        self._executors = executors
        self._embedder = embedder

    async def retrieve(self, release: CollectionRelease, question: Question) -> Retrieval:
        """The items of a release that are nearest to the question.

        Raises ServiceError: the query's own error, the first example's if none can be read, or the embedder's
        if it is needed and cannot be asked.
        """
        words = filter_words(question.filter_words, release.models.schema)
        contents = [question.query, *question.positives, *question.negatives]
        outcomes, embedded = await self._resolve(contents, release)
        target_D, errors = _direction(question, outcomes)
        conditions = ItemConditions(
            words=words, in_stock=question.in_stock, released_from_us=question.released_from_us
        )
        result = await self._executors.read(
            lambda: search(
                self._catalog,
                release.index,
                target_D,
                count=question.item_count,
                conditions=conditions,
                left_out=question.named_ids,
            )
        )
        return Retrieval(result=result, errors=errors, models=release.models, embedded=embedded)

    async def _resolve(
        self, contents: Sequence[Content | ServiceError | None], release: CollectionRelease
    ) -> tuple[list[VectorOrError | None], EmbeddedInputs]:
        """A vector or an error for each content."""
        outcomes: list[VectorOrError | None] = [
            content if isinstance(content, ServiceError) else None for content in contents
        ]
        for index, content in enumerate(contents):
            if isinstance(content, CallerVector):
                outcomes[index] = _checked(content, release)
        await self._look_up(contents, release, outcomes)
        embedded = await self._embed(contents, release, outcomes)
        return outcomes, embedded

    async def _look_up(
        self,
        contents: Sequence[Content | ServiceError | None],
        release: CollectionRelease,
        outcomes: list[VectorOrError | None],
    ) -> None:
        named = {index: content for index, content in enumerate(contents) if isinstance(content, ItemIds)}
        if named:
            means = await self._executors.read(
                lambda: [self._of_items(content, release) for content in named.values()]
            )
            for index, outcome in zip(named, means, strict=True):
                outcomes[index] = outcome

    def _of_items(self, named: ItemIds, release: CollectionRelease) -> VectorOrError:
        """The mean of the items' vectors, each of norm 1."""
        try:
            items = self._catalog.find(release.index.collection, named.item_ids)
        except DamagedCatalog as error:
            return to_service_error(error, ERRORS)
        absent = [item_id for item_id in named.item_ids if item_id not in items]
        if absent:
            return NotFound(
                f"the collection {release.index.collection} has no item {absent[0]}", reason="NO_ITEM"
            )
        sources = [items[item_id].source for item_id in named.item_ids]
        vectors = self._catalog.vectors_of(sources, release.models.space_id)
        for item_id in named.item_ids:
            if items[item_id].source not in vectors:
                return to_service_error(DamagedCatalog(f"item {item_id} has no readable vector"), ERRORS)
        return blend([vectors[source] for source in sources], ())

    async def _embed(
        self,
        contents: Sequence[Content | ServiceError | None],
        release: CollectionRelease,
        outcomes: list[VectorOrError | None],
    ) -> EmbeddedInputs:
        pictures = {
            index: content.data for index, content in enumerate(contents) if isinstance(content, Picture)
        }
        records = {
            index: content.attributes for index, content in enumerate(contents) if isinstance(content, Record)
        }
        if records:
            refused = await self._executors.read(lambda: _refused(records, release))
            for index, error in refused.items():
                outcomes[index] = error
                del records[index]
        parts = await asyncio.gather(
            self._embedder.pictures(list(pictures.values()), release.models.image, no_store=True, bulk=False),
            self._embedder.records(list(records.values()), release.models.lead),
        )
        embedded = (*parts[0].outcomes, *parts[1].outcomes)
        for index, outcome in zip((*pictures, *records), embedded, strict=True):
            outcomes[index] = outcome
        # The two ran side by side, so the wait was that of the longer one.
        return max(parts, key=lambda part: part.times.total_ms)


def _refused(records: Mapping[int, Mapping[str, Any]], release: CollectionRelease) -> dict[int, ServiceError]:
    """The errors of records that the lead cannot read, found without a call of the embedder."""
    schema, errors = release.models.schema, dict[int, ServiceError]()
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


def _checked(vector: CallerVector, release: CollectionRelease) -> VectorOrError:
    try:
        return release.check_vector(vector, comparable=True)
    except (ServiceError, InvalidInput) as error:
        return to_service_error(error, ERRORS)


def _direction(
    question: Question, outcomes: Sequence[VectorOrError | None]
) -> tuple[np.ndarray, dict[int, ServiceError]]:
    query, examples = outcomes[0], outcomes[1:]
    if isinstance(query, ServiceError):
        raise query
    errors = {index: outcome for index, outcome in enumerate(examples) if isinstance(outcome, ServiceError)}
    positives = [
        outcome for outcome in examples[: len(question.positives)] if isinstance(outcome, np.ndarray)
    ]
    negatives = [
        outcome for outcome in examples[len(question.positives) :] if isinstance(outcome, np.ndarray)
    ]
    if query is not None:
        positives.insert(0, query)
    if not positives:
        raise next(iter(errors.values()))
    return blend(positives, negatives), errors
