"""The checks of `fashion sanity`, each by the name that a failure is reported under (F-19).

Shapes: N garments, D vector.
"""

import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from inference.attributes import AttributeSchema
from inference.child_check import check_in_child
from inference.encoder import encode, open_encoder
from inference.errors import InferenceError
from inference.loading import load_model
from model_store.store import ModelStore, Version
from model_store.transfer import copy_version
from trainer.fashion.config import FashionConfig
from trainer.fashion.contrast import info_nce
from trainer.fashion.data.prepared_data import GarmentRecord, GarmentSplit
from trainer.fashion.encoders import build_encoder
from trainer.fashion.evaluation.encoded import Encoded
from trainer.fashion.evaluation.retrieval import nearest
from trainer.fashion.export import export_fashion_attributes
from trainer.fashion.search import search_samples
from trainer.fashion.train import FashionReport
from trainer.fashion.trained_run import TrainedRun, encode_garments, encode_records, open_run
from trainer.publication.publish import PublishTarget
from trainer.workspace import Workspace
from vector_index.exact import ExactIndex
from vector_index.segmented import SegmentedIndex

DIMENSION, NORM_TOLERANCE, SAME = 512, 1e-5, 1e-5
_K = 5


class Unsound(Exception):
    """Something is not as it has to be; the message says what was found and what was expected."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A short run and what it was made of."""

    config: FashionConfig
    garments: tuple[GarmentRecord, ...]
    split: GarmentSplit
    image: Version
    space: Workspace
    report: FashionReport

    @cached_property
    def run(self) -> TrainedRun:
        """The run, opened again from its checkpoint."""
        return open_run(self.space.out, self.space.store)

    @cached_property
    def encoded(self) -> Encoded:
        """All garments through the trained encoder and the image model."""
        return encode_garments(self.run.encoder, self.run, self.garments, self.space)

    @property
    def schema(self) -> AttributeSchema:
        """The fields of the run."""
        return self.run.schema

    def is_list(self, field: str) -> bool:
        """Whether a field takes several words."""
        return any(one.name == field and one.multiple for one in self.schema.fields)


def check_dimension(bench: Bench) -> str:
    """Vectors of records and of pictures are 512 numbers."""
    for name, vector_ND in (("record", bench.encoded.record_ND), ("image", bench.encoded.picture_ND)):
        _expect(
            vector_ND.shape[1] == DIMENSION,
            f"{name} vectors have {vector_ND.shape[1]} numbers, not {DIMENSION}",
        )
    return f"{DIMENSION} numbers"


def check_norm(bench: Bench) -> str:
    """Their length is 1 ± 1e-5, all numbers finite."""
    for name, vector_ND in (("record", bench.encoded.record_ND), ("image", bench.encoded.picture_ND)):
        off = float(np.abs(np.linalg.norm(vector_ND.astype(np.float64), axis=1) - 1).max())
        # Eight-bit image models are normalised in float32 within the graph.
        _expect(off <= NORM_TOLERANCE, f"{name} vectors are up to {off:.1e} off length 1")
    return f"1 within {NORM_TOLERANCE:.0e}"


def check_loss(bench: Bench) -> str:
    """The loss falls over the epochs of the run."""
    losses = [epoch["train/loss"] for epoch in bench.report.body["epochs"]]
    # Of few garments each epoch sees other batches: the later half has an epoch below the first.
    lowest = min(losses[len(losses) // 2 :])
    _expect(lowest < losses[0], f"the loss went from {losses[0]:.3f} to {lowest:.3f}")
    return f"{losses[0]:.3f} to {lowest:.3f}"


def check_gradients(bench: Bench) -> str:
    """One step of InfoNCE reaches every layer with finite gradients."""
    torch.manual_seed(0)
    encoder = build_encoder(bench.run.preprocessing.fields, bench.config.encoder).train()
    tensors = bench.schema.tensors([garment.attributes for garment in bench.garments])
    record_ND = encoder(*(torch.from_numpy(tensors[name]) for name in encoder.inputs))
    picture_ND = torch.from_numpy(bench.encoded.picture_ND)
    loss = info_nce(record_ND, picture_ND, bench.config.training.temperature)
    names, parameters = zip(*encoder.named_parameters(), strict=True)
    for name, gradient in zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
        _expect(gradient is not None, f"no gradient reaches {name}")
        _expect(bool(torch.isfinite(gradient).all()), f"the gradient of {name} is not finite")
        _expect(bool(gradient.any()), f"the gradient of {name} is zero")
    return f"{len(names)} tensors"


def check_batches(bench: Bench) -> str:
    """A record's vector is the same alone and among others."""
    records = [garment.attributes for garment in bench.garments]
    together_ND = encode_records(bench.run.encoder, bench.run.preprocessing, records)
    alone_ND = np.concatenate(
        [encode_records(bench.run.encoder, bench.run.preprocessing, [r]) for r in records]
    )
    off = float(np.abs(together_ND - alone_ND).max())
    _expect(off <= SAME, f"vectors differ by up to {off:.1e} between alone and together")
    return f"within {SAME:.0e}"


def check_fields(bench: Bench) -> str:
    """Any two fields missing, unknown words, empty lists and NFD text all give vectors of length 1."""
    whole = max((garment.attributes for garment in bench.garments), key=_filled)
    records: list[Mapping[str, tuple[str, ...]]] = [{}, dict.fromkeys(whole, ("?",))]
    records += [_without(whole, *gone) for gone in combinations(whole, 2)]
    vector_ND = encode_records(bench.run.encoder, bench.run.preprocessing, records).astype(np.float64)
    _expect(
        bool(np.isfinite(vector_ND).all()), "a record with fields missing has a vector that is not finite"
    )
    off = float(np.abs(np.linalg.norm(vector_ND, axis=1) - 1).max())
    _expect(off <= NORM_TOLERANCE, f"a record with fields missing has a vector {off:.1e} off length 1")
    apart = {n: tuple(unicodedata.normalize("NFD", word) for word in words) for n, words in whole.items()}
    read = bench.schema.normalise({n: list(w) if bench.is_list(n) else w[0] for n, w in apart.items() if w})
    both_ND = encode_records(bench.run.encoder, bench.run.preprocessing, [whole, read])
    _expect(
        bool(np.array_equal(both_ND[0], both_ND[1])), "text taken apart (NFD) has another vector than whole"
    )
    return f"{len(records) + 1} records"


def check_image_model(bench: Bench) -> str:
    """Training left the image model byte for byte as it was."""
    bench.space.store.verify(bench.image)
    _expect(bench.run.image.digest == bench.image.digest, "the run was trained against another image model")
    return bench.image.digest[:12]


def check_search(bench: Bench) -> str:
    """What is found is what is nearest, nearest first, and the gallery is whole."""
    for found in search_samples(bench.encoded, np.arange(len(bench.garments)), _K):
        similarity_K = np.array(found.similarity_K)
        _expect(bool((np.diff(similarity_K) <= SAME).all()), "results are not in the order of similarity")
        assert found.own_row is not None
        all_N = bench.encoded.picture_ND @ bench.encoded.record_ND[found.own_row]
        best = float(np.sort(all_N)[-_K:][0]) if len(all_N) >= _K else float(all_N.min())
        _expect(float(similarity_K[-1]) >= best - SAME, "something nearer was not found")
    return f"{len(bench.garments)} queries, {_K} each"


def check_recommendation(bench: Bench) -> str:
    """Exported, served by its ONNX graph and asked of an index, records find what search finds."""
    with tempfile.TemporaryDirectory() as folder:
        vector_ND = _served_vectors(bench, Path(folder))
    off = float(np.abs(vector_ND - bench.encoded.record_ND).max())
    _expect(off <= 1e-4, f"the ONNX graph's vectors differ from torch's by up to {off:.1e}")
    picture_ND = bench.encoded.picture_ND
    expected_NK = nearest(vector_ND, picture_ND, _K)
    expected = np.sort(np.take_along_axis(vector_ND @ picture_ND.T, expected_NK, axis=1), axis=1)[:, ::-1]
    labels = np.arange(1, len(picture_ND) + 1)
    for index in (ExactIndex(DIMENSION), SegmentedIndex(DIMENSION)):
        try:
            index.update(labels, picture_ND, revision=1)
            found = np.stack([index.view().search(one_D, _K).similarities for one_D in vector_ND])
        finally:
            index.close()
        name = type(index).__name__
        _expect(
            bool(np.allclose(found, expected, atol=1e-4)),
            f"{name} recommends other garments than search finds",
        )
    return f"{len(vector_ND)} queries, exact and segmented index"


def _served_vectors(bench: Bench, folder: Path) -> np.ndarray:
    """float32 record_ND by the exported graph, in a store that is thrown away."""
    store = ModelStore.at(folder)
    copy_version(bench.image, store, check_in_child)
    published = export_fashion_attributes(
        bench.config, PublishTarget(store=store), checkpoint=bench.report.checkpoint
    )
    model = load_model(store, published.version, session=bench.space.session, stamps=None)
    found = encode(open_encoder(model), [garment.attributes for garment in bench.garments])
    wrong = next((one for one in found if isinstance(one, InferenceError)), None)
    if wrong is not None:
        raise wrong
    return np.stack([one for one in found if isinstance(one, np.ndarray)])


def _without(record: Mapping[str, tuple[str, ...]], *names: str) -> Mapping[str, tuple[str, ...]]:
    return {name: () if name in names else words for name, words in record.items()}


def _filled(attributes: Mapping[str, tuple[str, ...]]) -> int:
    return sum(bool(words) for words in attributes.values())


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Unsound(otherwise)


CHECKS: Mapping[str, Callable[[Bench], str]] = MappingProxyType(
    {
        "dimension": check_dimension,
        "norm": check_norm,
        "loss falls": check_loss,
        "gradients flow": check_gradients,
        "batch consistency": check_batches,
        "field processing": check_fields,
        "image model unchanged": check_image_model,
        "search": check_search,
        "recommendation": check_recommendation,
    }
)
