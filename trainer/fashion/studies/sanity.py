"""Whether this build works: a small run through every step of a real run, and checks of it by name (F-19).

Shapes: N garments, D vector, K results.
"""

import tempfile
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.attributes import Normalised
from inference.child_check import check_in_child
from inference.encoder import encode, open_encoder
from inference.errors import InferenceError
from inference.loading import load_model
from model_store.errors import StoreError
from model_store.store import ModelStore, Version
from model_store.transfer import copy_version
from trainer.configuration import change_settings
from trainer.errors import TrainerError
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord, open_garments
from trainer.fashion.data.splits import split_records
from trainer.fashion.encoders import DIMENSION, build_encoder, encode_tensors
from trainer.fashion.evaluation.encoded import Encoded
from trainer.fashion.evaluation.report import NORM_TOLERANCE
from trainer.fashion.evaluation.retrieval import nearest
from trainer.fashion.export import export_fashion_attributes
from trainer.fashion.module import info_nce, make_tensors
from trainer.fashion.quick import quick_garments
from trainer.fashion.search import search_samples
from trainer.fashion.train import FashionReport, train_fashion
from trainer.fashion.trained_run import TrainedRun, open_run
from trainer.publication.publish import PublishTarget
from trainer.reports.json_report import write_report
from trainer.synthetic.garments import write_garments
from trainer.workspace import Workspace
from vector_index.errors import VectorIndexError
from vector_index.files import IndexIdentity, SegmentDirectory
from vector_index.segmented import SegmentedIndex

RESULTS_FOLDER, RESULTS_FILE = "temp_logs", "sanity_check_results.json"
_GARMENTS, _BATCH_SIZE = 64, 8
# Steps of the run: enough for the loss to fall on few garments.
_STEPS = 24

# How far the loss has to fall, and the temperature that it is measured at, whatever the run was trained with.
_FALL, _TEMPERATURE = 0.02, 0.1

SAME = 1e-5
_K = 5


class CheckFailed(Exception):
    """A check failed; the message names the value and what it has to be."""


# Errors that fail a check; any other is a defect of the check itself.
_FAILURES = (
    CheckFailed, TrainerError, InferenceError, StoreError, VectorIndexError, ValueError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CheckedRun:
    """A short run with everything that it was made of."""

    config: FashionConfig
    garments: tuple[GarmentRecord, ...]
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
        return self.run.encode_garments(self.garments, self.space)

    @property
    def records(self) -> list[Normalised]:
        """The attribute records of the garments."""
        return [garment.attributes for garment in self.garments]

    @property
    def vectors(self) -> Mapping[str, np.ndarray]:
        """The vectors of records and of pictures, by what they are called in messages."""
        return {"record": self.encoded.record_ND, "image": self.encoded.picture_ND}


def check_sanity(
    config: FashionConfig, image: Version, space: Workspace, data: Path | None = None
) -> dict[str, Any]:
    """The outcome of every check, as written to `temp_logs/sanity_check_results.json`; `passed` if all did.

    Without `data`, garments are drawn. A failed check does not stop the others. Raises TrainerError: when
    the garments cannot be read or the run cannot be trained.
    """
    started = time.monotonic()
    if data is None:
        data = space.out / "garments"
        write_garments(data, _GARMENTS, config.training.seed)
    checked = _train_run(config, image, space, data)
    outcomes: dict[str, dict[str, Any]] = {}
    for name, check in CHECKS.items():
        outcomes[name] = _outcome(check, checked)
        space.progress("sanity check", len(outcomes), len(CHECKS), name)
    body = {
        "passed": all(outcome["passed"] for outcome in outcomes.values()),
        "data": "drawn" if data == space.out / "garments" else "given",
        "garments": len(checked.garments),
        "image": str(image),
        "checks": outcomes,
        "seconds": round(time.monotonic() - started, 2),
    }
    return write_report(space.out / RESULTS_FOLDER / RESULTS_FILE, body)


def _train_run(config: FashionConfig, image: Version, space: Workspace, data: Path) -> CheckedRun:
    """A short run on few garments."""
    config, garments = open_garments(data, config)
    garments = quick_garments(garments)
    split = split_records(garments, config.training.seed, config.split)
    epochs = -(-_STEPS // -(-len(split.train) // _BATCH_SIZE))
    changed = {
        "max_epochs": epochs,
        "standalone_epochs": 1,
        "batch_size": _BATCH_SIZE,
        "learning_rate": 1e-3,
        "schedule": "constant",
    }
    config = change_settings(config, {f"training.{name}": value for name, value in changed.items()})
    run = replace(space, out=space.out / "run")
    report = train_fashion(config, garments, image, run, overwrite=True)
    return CheckedRun(config=config, garments=garments, image=image, space=run, report=report)


def _outcome(check: Callable[[CheckedRun], str], checked: CheckedRun) -> dict[str, Any]:
    try:
        return {"passed": True, "found": check(checked)}
    except _FAILURES as error:
        return {"passed": False, "found": f"{type(error).__name__}: {error}".splitlines()[0]}


def check_dimension(checked: CheckedRun) -> str:
    """Vectors of records and of pictures are 512 numbers."""
    for name, vector_ND in checked.vectors.items():
        width = vector_ND.shape[1]
        _expect(width == DIMENSION, f"{name} vectors have {width} numbers, not {DIMENSION}")
    return f"{DIMENSION} numbers"


def check_norm(checked: CheckedRun) -> str:
    """Their length is 1 ± 1e-5, all numbers finite."""
    for name, vector_ND in checked.vectors.items():
        # Eight-bit image models are normalised in float32 within the graph.
        _expect_unit_length(vector_ND, f"{name} vectors")
    return f"1 within {NORM_TOLERANCE:.0e}"


def check_loss(checked: CheckedRun) -> str:
    """The loss of the trained encoder is 2 % below that of an untrained encoder on the same garments."""
    torch.manual_seed(checked.config.training.seed)
    fresh = build_encoder(checked.run.preprocessing.fields, checked.config.encoder)
    split = split_records(checked.garments, checked.config.training.seed, checked.config.split)
    part = make_tensors(
        split.train,
        checked.run.encode_garments(split.train, checked.space).picture_ND,
        checked.run.preprocessing,
    )
    before, after = (
        float(
            info_nce(torch.from_numpy(encode_tensors(encoder, part.tensors)), part.picture_ND, _TEMPERATURE)
        )
        for encoder in (fresh, checked.run.encoder)
    )
    _expect(after <= (1 - _FALL) * before, f"the loss went from {before:.3f} to {after:.3f}")
    return f"{before:.3f} to {after:.3f}"


def check_gradients(checked: CheckedRun) -> str:
    """One step of InfoNCE reaches every layer with finite gradients."""
    torch.manual_seed(0)
    encoder = build_encoder(checked.run.preprocessing.fields, checked.config.encoder).train()
    tensors = checked.run.schema.tensors(checked.records)
    record_ND = encoder(*(torch.from_numpy(tensors[name]) for name in encoder.inputs))
    picture_ND = torch.from_numpy(checked.encoded.picture_ND)
    loss = info_nce(record_ND, picture_ND, checked.config.training.temperature)
    names, parameters = zip(*encoder.named_parameters(), strict=True)
    for name, gradient in zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
        _expect(gradient is not None, f"no gradient reaches {name}")
        _expect(bool(torch.isfinite(gradient).all()), f"the gradient of {name} is not finite")
        _expect(bool(gradient.any()), f"the gradient of {name} is zero")
    return f"{len(names)} tensors"


def check_batches(checked: CheckedRun) -> str:
    """A record's vector is the same alone and among others."""
    together_ND = checked.run.encode_records(checked.records)
    alone_ND = np.concatenate([checked.run.encode_records([record]) for record in checked.records])
    off = float(np.abs(together_ND - alone_ND).max())
    _expect(off <= SAME, f"vectors differ by up to {off:.1e} between alone and together")
    return f"within {SAME:.0e}"


def check_fields(checked: CheckedRun) -> str:
    """Any two fields missing, unknown words, empty lists and NFD text all give vectors of length 1."""
    whole = max(checked.records, key=lambda record: sum(map(bool, record.values())))
    records: list[Normalised] = [{}, dict.fromkeys(whole, ("?",))]
    records += [whole | dict.fromkeys(missing, ()) for missing in combinations(whole, 2)]
    _expect_unit_length(checked.run.encode_records(records), "vectors of records with fields missing")
    decomposed = {
        name: tuple(unicodedata.normalize("NFD", word) for word in words) for name, words in whole.items()
    }
    composed_D, decomposed_D = checked.run.encode_records([whole, decomposed])
    _expect(bool(np.array_equal(composed_D, decomposed_D)), "decomposed text (NFD) has another vector")
    return f"{len(records) + 1} records"


def check_image_model(checked: CheckedRun) -> str:
    """Training left the image model byte for byte as it was."""
    checked.space.store.verify(checked.image)
    digest = checked.image.digest
    _expect(checked.run.image.digest == digest, "the run was trained against another image model")
    return digest[:12]


def check_search(checked: CheckedRun) -> str:
    """Results are the nearest pictures of the whole gallery, nearest first."""
    for search in search_samples(checked.encoded, np.arange(len(checked.garments)), _K):
        similarity_K = np.array(search.similarity_K)
        _expect(bool((np.diff(similarity_K) <= SAME).all()), "results are not in the order of similarity")
        assert search.own_row is not None
        all_N = checked.encoded.picture_ND @ checked.encoded.record_ND[search.own_row]
        best = float(np.sort(all_N)[-_K:][0])
        _expect(float(similarity_K[-1]) >= best - SAME, "a nearer picture is not among the results")
    return f"{len(checked.garments)} queries, {_K} each"


def check_recommendation(checked: CheckedRun) -> str:
    """Encoded by the exported ONNX graph and searched in an index, records retrieve what search retrieves."""
    with tempfile.TemporaryDirectory() as folder:
        vector_ND = _served_vectors(checked, Path(folder))
    off = float(np.abs(vector_ND - checked.encoded.record_ND).max())
    _expect(off <= 1e-4, f"the ONNX graph's vectors differ from torch's by up to {off:.1e}")
    picture_ND = checked.encoded.picture_ND
    expected_NK = nearest(vector_ND, picture_ND, _K)
    expected = np.sort(np.take_along_axis(vector_ND @ picture_ND.T, expected_NK, axis=1), axis=1)[:, ::-1]
    with tempfile.TemporaryDirectory() as folder:
        identity = IndexIdentity(catalogue_id="sanity", space=checked.image.space_id)
        index = SegmentedIndex(SegmentDirectory(Path(folder), identity=identity, dimension=DIMENSION))
        try:
            index.update(np.arange(1, len(picture_ND) + 1), picture_ND, revision=1)
            index.settle()
            for exact in (True, False):
                neighbours = index.view().search_batch(vector_ND, _K, exact=exact)
                similarity_NK = np.stack([each.similarities for each in neighbours])
                same = bool(np.allclose(similarity_NK, expected, atol=1e-4))
                name = "exact" if exact else "segmented"
                _expect(same, f"the {name} index recommends other garments than search")
        finally:
            index.close()
    return f"{len(vector_ND)} queries, exact and segmented index"


def _served_vectors(checked: CheckedRun, folder: Path) -> np.ndarray:
    """float32 record_ND by the exported graph, in a store that is deleted afterwards."""
    store = ModelStore.at(folder)
    copy_version(checked.image, store, check_in_child)
    published = export_fashion_attributes(
        checked.config, PublishTarget(store=store), checkpoint=checked.report.checkpoint
    )
    model = load_model(store, published.version, session=checked.space.session, stamps=None)
    vectors = []
    for result in encode(open_encoder(model), checked.records):
        if isinstance(result, InferenceError):
            raise result
        vectors.append(result)
    return np.stack(vectors)


def _expect_unit_length(vector_ND: np.ndarray, what: str) -> None:
    off = float(np.abs(np.linalg.norm(vector_ND.astype(np.float64), axis=1) - 1).max())
    _expect(off <= NORM_TOLERANCE, f"{what} are up to {off:.1e} off length 1")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckFailed(otherwise)


CHECKS: Mapping[str, Callable[[CheckedRun], str]] = {
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
