"""Answering a question: contents into vectors, vectors into one direction, the nearest items to it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.attributes import AttributeSchema
from inference.errors import InvalidInput
from services.client.pinned_models import EmbeddedInputs, PinnedModels
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

Outcome = np.ndarray | ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Items nearest first; errors of single examples by index, the positive ones counted first."""

    found: SearchResult
    errors: dict[int, ServiceError]
    models: LeadModels
    embedded: EmbeddedInputs


class Retriever:
    """Answers questions about every collection."""

    def __init__(self, catalog: Catalog, executors: Executors, embedding: PinnedModels) -> None:
        self._catalog = catalog
        self._executors = executors
        self._embedding = embedding

    async def answer(self, serving: CollectionRelease, question: Question) -> Retrieval:
        """The items of one release that are nearest to the question.

        Raises the query's own error, or the first example's when none can be read. Raises ServiceError:
        when the embedder is needed and cannot be asked.
        """
        words = filter_words(question.filter_words, serving.models.schema)
        contents = [question.query, *question.positives, *question.negatives]
        outcomes, embedded = await self._resolve(contents, serving)
        target_D, errors = _direction(question, outcomes)
        conditions = ItemConditions(
            words=words, in_stock=question.in_stock, released_from_us=question.released_from_us
        )
        found = await self._executors.read(
            lambda: search(
                self._catalog,
                serving.index,
                target_D,
                count=question.item_count,
                conditions=conditions,
                left_out=question.named_ids,
            )
        )
        return Retrieval(found=found, errors=errors, models=serving.models, embedded=embedded)

    async def _resolve(
        self, contents: Sequence[Content | ServiceError | None], serving: CollectionRelease
    ) -> tuple[list[Outcome | None], EmbeddedInputs]:
        """One vector or error a content."""
        outcomes: list[Outcome | None] = [one if isinstance(one, ServiceError) else None for one in contents]
        for index, one in enumerate(contents):
            if isinstance(one, CallerVector):
                outcomes[index] = _checked(one, serving)
        await self._look_up(contents, serving, outcomes)
        embedded = await self._embed(contents, serving, outcomes)
        return outcomes, embedded

    async def _look_up(
        self,
        contents: Sequence[Content | ServiceError | None],
        serving: CollectionRelease,
        outcomes: list[Outcome | None],
    ) -> None:
        named = {index: one for index, one in enumerate(contents) if isinstance(one, ItemIds)}
        if named:
            found = await self._executors.read(
                lambda: [self._of_items(one, serving) for one in named.values()]
            )
            for index, outcome in zip(named, found, strict=True):
                outcomes[index] = outcome

    def _of_items(self, named: ItemIds, serving: CollectionRelease) -> Outcome:
        """The mean of the items' vectors, each of norm 1."""
        try:
            items = self._catalog.find(serving.index.collection, named.item_ids)
        except DamagedCatalog as error:
            return to_service_error(error, ERRORS)
        absent = [item_id for item_id in named.item_ids if item_id not in items]
        if absent:
            return NotFound(
                f"the collection {serving.index.collection} has no item {absent[0]}", reason="NO_ITEM"
            )
        sources = [items[item_id].source for item_id in named.item_ids]
        vectors = self._catalog.vectors_of(sources, serving.models.space_id)
        for item_id in named.item_ids:
            if items[item_id].source not in vectors:
                return to_service_error(DamagedCatalog(f"item {item_id} has no readable vector"), ERRORS)
        return blend([vectors[source] for source in sources], ())

    async def _embed(
        self,
        contents: Sequence[Content | ServiceError | None],
        serving: CollectionRelease,
        outcomes: list[Outcome | None],
    ) -> EmbeddedInputs:
        pictures = {index: one.data for index, one in enumerate(contents) if isinstance(one, Picture)}
        records = {index: one.attributes for index, one in enumerate(contents) if isinstance(one, Record)}
        if records and serving.models.schema is None:
            refused = FailedPrecondition(
                f"the collection {serving.index.collection} follows {serving.models.lead.name}, "
                "which reads no attributes",
                reason="NO_ATTRIBUTES",
            )
            outcomes[:] = [refused if i in records else one for i, one in enumerate(outcomes)]
            records = {}
        if records and serving.models.schema is not None:
            # SearchResult here, what is no record of this schema costs no way to the embedder and back.
            schema = serving.models.schema
            for index, error in (await self._executors.read(lambda: _unfit(records, schema))).items():
                outcomes[index] = error
                del records[index]
        parts = await asyncio.gather(
            self._embedding.pictures(
                list(pictures.values()), serving.models.image, no_store=True, bulk=False
            ),
            self._embedding.records(list(records.values()), serving.models.lead),
        )
        embedded = (*parts[0].outcomes, *parts[1].outcomes)
        for index, outcome in zip((*pictures, *records), embedded, strict=True):
            outcomes[index] = outcome
        # The two ran side by side, so the longer one is what was waited for.
        return max(parts, key=lambda part: part.times.total_ms)


def _unfit(records: Mapping[int, Mapping[str, Any]], schema: AttributeSchema) -> dict[int, ServiceError]:
    """What is wrong with records that the schema refuses."""
    errors: dict[int, ServiceError] = {}
    for index, record in records.items():
        try:
            schema.normalise(record)
        except InvalidInput as error:
            errors[index] = to_service_error(error, ERRORS)
    return errors


def _checked(vector: CallerVector, serving: CollectionRelease) -> Outcome:
    try:
        return serving.check_vector(vector, comparable=True)
    except (ServiceError, InvalidInput) as error:
        return to_service_error(error, ERRORS)


def _direction(
    question: Question, outcomes: Sequence[Outcome | None]
) -> tuple[np.ndarray, dict[int, ServiceError]]:
    query, examples = outcomes[0], outcomes[1:]
    if isinstance(query, ServiceError):
        raise query
    errors = {index: one for index, one in enumerate(examples) if isinstance(one, ServiceError)}
    positives = [one for one in examples[: len(question.positives)] if isinstance(one, np.ndarray)]
    negatives = [one for one in examples[len(question.positives) :] if isinstance(one, np.ndarray)]
    if query is not None:
        positives.insert(0, query)
    if not positives:
        raise next(iter(errors.values()))
    return blend(positives, negatives), errors
