"""A trained run read from its folder: its encoder, and the vectors of garments by it (F-12).

Shapes: N garments, D vector.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.attributes import AttributeSchema, normalise_text
from inference.pixels import ImageLimits
from model_store.manifest import AttributePreprocessing
from model_store.store import ModelStore, Version
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.fashion.config import EARLIER_SPLIT, SplitSettings
from trainer.fashion.data.prepared_data import (
    PARTS,
    RECORDS,
    TEST,
    TRAIN,
    VAL,
    GarmentRecord,
    data_version,
    query_keys,
    read_records,
)
from trainer.fashion.data.splits import GarmentSplit, split_records
from trainer.fashion.encoders import EncoderEnsemble, RecordEncoder, encode_tensors, restore_encoder
from trainer.fashion.evaluation.encoded import Encoded
from trainer.fashion.train import CHECKPOINTS, KIND
from trainer.features import vectors_of_files
from trainer.loop.checkpoints import BEST, load_checkpoint
from trainer.loop.progress import Progress, silent
from trainer.pictures import PictureBounds
from trainer.publication.stored_versions import trained_against
from trainer.workspace import Workspace

IMAGE_MODEL = "fashion-image"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """A checkpoint's encoder with what it was trained on; `image` makes the vectors of its space.

    bodies: the checkpoint of each member, the first one's first.
    """

    checkpoint: Path
    encoder: RecordEncoder
    preprocessing: AttributePreprocessing
    image: Version
    bodies: tuple[Mapping[str, Any], ...]

    @property
    def body(self) -> Mapping[str, Any]:
        """The checkpoint of the first member."""
        return self.bodies[0]

    @property
    def schema(self) -> AttributeSchema:
        """The fields and words of its records."""
        return AttributeSchema(self.preprocessing)

    @property
    def limits(self) -> ImageLimits:
        """The bounds of the pictures that it was trained on."""
        return PictureBounds.model_validate(self.body["config"].get("pictures") or {}).limits()

    @property
    def core(self) -> tuple[str, ...]:
        """The fields of a query record."""
        fields = self.body["config"]["attributes"]["fields"]
        return tuple(field["name"] for field in fields if field["core"])

    @property
    def labels(self) -> Mapping[str, str]:
        """What a shop calls each field, by the field's name."""
        fields = self.body["config"]["attributes"]["fields"]
        return {field["name"]: field.get("label") or field["name"] for field in fields}

    def named(self, record: Mapping[str, object]) -> dict[str, object]:
        """A record whose fields may be called as the shop calls them, by the names of the fields."""
        names = {label: name for name, label in self.labels.items()}
        return {names.get(name, name): value for name, value in record.items()}

    def unknown_words(self, records: Sequence[Mapping[str, Sequence[str]]]) -> dict[str, dict[str, int]]:
        """By field, the words of normalised records that the encoder does not know, and how often they occur.

        To it all of them are one word, which says nothing.
        """
        counts: dict[str, Counter[str]] = {}
        for field in self.preprocessing.fields:
            known = {normalise_text(word, self.schema.spelling) for word in field.vocabulary}
            strange = Counter(word for r in records for word in r.get(field.name, ()) if word not in known)
            if strange:
                counts[field.name] = strange
        return {name: dict(words.most_common()) for name, words in counts.items()}

    def encode_garments(self, garments: Sequence[GarmentRecord], space: Workspace) -> Encoded:
        """Both vectors of each garment. Raises InvalidData: listing every picture that cannot be encoded."""
        paths, within = [garment.path for garment in garments], replace(space, limits=self.limits)
        records = [garment.attributes for garment in garments]
        return Encoded(
            garments=garments,
            record_ND=self.encode_records(records),
            picture_ND=vectors_of_files(paths, self.image, within, "fashion vectors"),
            keys=query_keys(records, self.schema),
        )

    def encode_records(self, records: Sequence[Mapping[str, object]]) -> np.ndarray:
        """float32 record_ND. Raises InvalidAttributes: as `AttributeSchema.normalise`."""
        arrays = self.schema.tensors(records)
        return encode_tensors(self.encoder, {name: torch.from_numpy(array) for name, array in arrays.items()})


def open_run(folder: Path, store: ModelStore) -> TrainedRun:
    """The best checkpoint of a run.

    Raises InvalidCheckpoint: when there is none, it is damaged, or the store lacks its image model.
    """
    return open_runs((folder,), store)


def open_runs(folders: Sequence[Path], store: ModelStore) -> TrainedRun:
    """The best checkpoints of runs; several answer as one encoder and must share schema and space (F-23).

    Everything but the encoder is that of the first. Raises InvalidCheckpoint: as `open_run`, and when two
    differ.
    """
    bodies = {str(folder / CHECKPOINTS / BEST): _best(folder) for folder in folders}
    checkpoint, body = next(iter(bodies.items()))
    return TrainedRun(
        checkpoint=Path(checkpoint),
        encoder=restore_encoder(body) if len(bodies) == 1 else restore_ensemble(bodies),
        preprocessing=AttributePreprocessing.model_validate(body["preprocessing"]),
        image=trained_against(store, IMAGE_MODEL, body["space_id"], Path(checkpoint)),
        bodies=tuple(bodies.values()),
    )


def restore_ensemble(checkpoints: Mapping[str, Mapping[str, Any]]) -> EncoderEnsemble:
    """The encoders of checkpoints as one, ready to encode; a key is the name of its checkpoint in errors.

    Raises InvalidCheckpoint: when there is none, or two are of other spaces or schemas, naming both sides.
    """
    if not checkpoints:
        raise InvalidCheckpoint("an ensemble needs at least 1 checkpoint, got 0")
    first, *others = ((name, tuple(_origin(body))) for name, body in checkpoints.items())
    for other in others:
        for mine, theirs in zip(first[1], other[1], strict=False):
            if mine != theirs:
                raise InvalidCheckpoint(f"{first[0]} was trained on {mine}, {other[0]} on {theirs}")
    return EncoderEnsemble([restore_encoder(body) for body in checkpoints.values()]).eval()


def _origin(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """What an encoder was trained on, in an order in which two that differ differ before either one ends."""
    yield f"the space {checkpoint['space_id'][:12]}"
    schema = AttributePreprocessing.model_validate(checkpoint["preprocessing"])
    yield f"the fields {', '.join(field.name for field in schema.fields)}"
    yield f"{len(schema.spelling)} spellings"
    for field in schema.fields:
        yield f"{'lists' if field.multiple else 'one'} of {len(field.vocabulary)} words of {field.name}"
    for field in schema.fields:
        yield from (f"{word!r} as word {n} of {field.name}" for n, word in enumerate(field.vocabulary, 1))
    yield from (f"{word!r} spelt {preferred!r}" for word, preferred in sorted(schema.spelling.items()))


def _best(folder: Path) -> dict[str, Any]:
    checkpoint = folder / CHECKPOINTS / BEST
    if checkpoint.exists():
        return load_checkpoint(checkpoint, KIND)
    raise InvalidCheckpoint(f"{checkpoint} does not exist; train first: atelier fashion train --out {folder}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedGarments:
    """The garments of a prepared folder, by part; `trained_on`: whether they are those of the run."""

    split: GarmentSplit
    trained_on: bool

    def part(self, name: str) -> tuple[GarmentRecord, ...]:
        """The garments of "train", "val", "test" or "all". Raises InvalidData: when there are none of it."""
        split = self.split
        parts = {TRAIN: split.train, VAL: split.val, TEST: split.test}
        garments = parts.get(name, (*split.train, *split.val, *split.test))
        if not garments:
            raise InvalidData(f"no garment is of the part {name!r}: the folder was prepared without it")
        return garments


def read_prepared(data: Path, run: TrainedRun, progress: Progress = silent) -> PreparedGarments:
    """The garments under `data` as the run divides them; a garment that any member trained on is of `train`.

    Raises InvalidData: listing every bad line.
    """
    garments = read_records(data / RECORDS, data, run.schema, progress, run.limits)
    splits = [
        split_records(
            garments,
            int(body["seed"]),
            SplitSettings.model_validate(body["config"].get("split", EARLIER_SPLIT)),
        )
        for body in run.bodies
    ]
    version = data_version(garments)
    return PreparedGarments(
        split=_common_split(splits), trained_on=all(body["data_version"] == version for body in run.bodies)
    )


def _common_split(splits: Sequence[GarmentSplit]) -> GarmentSplit:
    """The split of an ensemble: of its members' parts the one that says most about them, train before val."""
    if len(splits) == 1:
        return splits[0]
    members = [{TRAIN: split.train, VAL: split.val, TEST: split.test} for split in splits]
    taken: set[str] = set()
    parts: dict[str, tuple[GarmentRecord, ...]] = {}
    for part in PARTS:
        own = {g.item_id: g for member in members for g in member[part] if g.item_id not in taken}
        parts[part] = tuple(own.values())
        taken |= own.keys()
    return GarmentSplit(train=parts[TRAIN], val=parts[VAL], test=parts[TEST], dropped=splits[0].dropped)
