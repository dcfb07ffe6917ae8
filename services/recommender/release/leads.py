"""What a collection serves: the followed lead, the model of its pictures, the index of their space."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.attributes import AttributeSchema
from inference.errors import RefusedModel
from model_store.manifest import AttributePreprocessing, ImagePreprocessing
from model_store.store import ModelStore, Version
from services.messages.contents import CallerVector
from services.recommender.catalog.writes import Destination
from services.recommender.space_index import ServedIndex
from services.runtime.errors import FailedPrecondition, InvalidArgument

# Far above the least length that the index and queries accept, so that the catalog holds no vector that the
# index refuses.
_LEAST_LENGTH: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadModels:
    """The lead and the model of pictures.

    They are the same version for a shop without attributes, and for a version of item vectors, which embeds
    nothing: its rows are the items.
    """

    lead: Version
    image: Version
    schema: AttributeSchema | None

    @property
    def space_id(self) -> str:
        """The space of the collection's vectors."""
        return self.image.space_id

    @property
    def dimension(self) -> int:
        """Length of the collection's vectors."""
        return self.image.manifest.dimension

    @property
    def holds_items(self) -> bool:
        """Whether the items are those of the lead, a version of item vectors, and no call writes them."""
        return self.lead.manifest.kind == "vectors"

    @property
    def rows_id(self) -> str:
        """What the log and the index files call the collection's rows: the space, or the digest of a version
        of item vectors, since several of one pipeline have its space."""
        return self.lead.digest if self.holds_items else self.space_id

    @property
    def pinned(self) -> tuple[Version, ...]:
        """The versions that answers come from, the lead first."""
        return (self.lead,) if self.lead.space_id == self.image.space_id else (self.lead, self.image)

    @property
    def encoders(self) -> tuple[Version, ...]:
        """The pinned versions that the embedder keeps ready; none for item vectors."""
        return () if self.holds_items else self.pinned

    @property
    def destination(self) -> Destination:
        """What the log says of a move to this release."""
        lead = self.lead
        return Destination(
            space_id=self.rows_id, lead_name=lead.name, lead_version=lead.number, lead_digest=lead.digest
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRelease:
    """A release of a collection; a call holds one from admission to reply."""

    models: LeadModels
    index: ServedIndex

    def check_writable(self) -> None:
        """Raises FailedPrecondition: if the items are those of a version, naming it."""
        if self.models.holds_items:
            raise FailedPrecondition(
                f"the collection {self.index.collection} is read-only: its items are those of "
                f"{self.models.lead}; publish and promote another version to change them",
                reason="READ_ONLY",
            )

    def check_vector(self, vector: CallerVector, *, comparable: bool) -> np.ndarray:
        """The components of a caller's vector. comparable: takes the lead's own space too, for queries.

        Raises InvalidArgument: naming both dimensions, or the first component that is not finite.
        Raises FailedPrecondition: for another space, naming both.
        """
        pinned = self.models.pinned if comparable else (self.models.image,)
        spaces = [version.space_id for version in pinned]
        taker = f"the collection {self.index.collection}"
        values_D = vector.check(spaces, self.models.dimension, field="vector", taker=taker)
        length = float(np.linalg.norm(values_D.astype(np.float64)))
        if length < _LEAST_LENGTH:
            raise InvalidArgument(
                f"the vector has no direction: its length is {length:.3g}", reason="INVALID_VECTOR"
            )
        return values_D


def describe(store: ModelStore, lead: Version) -> LeadModels:
    """The lead with the model of pictures that it is aligned with, or a version of item vectors.

    Raises RefusedModel: if it cannot lead a collection. Raises StoreError.
    """
    preprocessing = lead.manifest.preprocessing
    if lead.manifest.kind == "vectors" or isinstance(preprocessing, ImagePreprocessing):
        return LeadModels(lead=lead, image=lead, schema=None)
    if not isinstance(preprocessing, AttributePreprocessing) or not lead.manifest.accepts:
        raise RefusedModel(f"{lead} takes neither pictures nor attributes aligned with a space of pictures")
    image = store.find_space(lead.manifest.accepts[0])
    if not isinstance(image.manifest.preprocessing, ImagePreprocessing):
        raise RefusedModel(f"{lead} is aligned with {image}, which takes no pictures")
    if image.manifest.dimension != lead.manifest.dimension:
        raise RefusedModel(
            f"{lead} has {lead.manifest.dimension} dimensions, {image} has {image.manifest.dimension}"
        )
    return LeadModels(lead=lead, image=image, schema=AttributeSchema(preprocessing))
