from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from model_store.aliases import PRODUCTION
from model_store.errors import NotInStore
from model_store.manifest import VectorPreprocessing
from model_store.store import ModelStore
from trainer.publication.publish import PublishableGraph, PublishTarget, provenance_of, publish

pytestmark = pytest.mark.slow


def _product(factor: float = 2.0, accepts: tuple[str, ...] = (), **changes: object) -> PublishableGraph:
    nodes = [
        helper.make_node("Mul", ["feature_BD", "factor"], ["embedding_BD"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("feature_BD", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("embedding_BD", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    fields: dict[str, object] = {
        "name": "tiny-head",
        "graph": helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10),
        "output": "embedding_BD",
        "golden_inputs": {"feature_BD": np.ones((3, 4), dtype=np.float32)},
        "source": provenance_of(source="test", trained=True, data_version="d1"),
        "fields": {"preprocessing": VectorPreprocessing(dimension=4), "accepts": accepts},
    }
    return PublishableGraph(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore.at(tmp_path / "models")


def test_first_version_becomes_production_and_the_next_a_candidate(store: ModelStore):
    """Nothing that is in service changes by publishing (M-3)."""
    said: list[str] = []
    target = PublishTarget(store=store, notify=said.append)

    first, second = publish(_product(2.0), target), publish(_product(3.0), target)

    assert (first.alias, second.alias) == ("production", "candidate")
    assert store.resolve("tiny-head").number == 1
    assert store.resolve("tiny-head", "candidate").number == 2
    assert any("atelier models promote tiny-head 2" in line for line in said)


def test_named_alias_is_moved(store: ModelStore):
    """--alias moves that alias and no other."""
    publish(_product(2.0), PublishTarget(store=store))
    published = publish(_product(3.0), PublishTarget(store=store, alias="production"))

    assert published.alias == "production"
    assert store.resolve("tiny-head").number == 2
    assert store.aliases.find("tiny-head", "candidate") is None


def test_same_meaning_is_not_published_again(store: ModelStore):
    """Equal graph, equal promises: the version there is taken, the alias stays."""
    first, again = (publish(_product(), PublishTarget(store=store)) for _ in range(2))

    assert (first.fresh, again.fresh) == (True, False)
    assert again.version.digest == first.version.digest
    assert store.numbers("tiny-head") == [1]
    assert again.alias == PRODUCTION


@pytest.mark.parametrize(
    "changes",
    [{"accepts": ("a" * 64,)}, {"source": provenance_of(source="test", trained=True, data_version="d2")}],
)
def test_same_graph_with_another_meaning_is_another_version(store: ModelStore, changes: dict[str, object]):
    """A head for another backbone, or of other data, is not the head that is there."""
    publish(_product(), PublishTarget(store=store))

    assert publish(_product(**changes), PublishTarget(store=store)).version.number == 2


def test_damaged_twin_is_published_anew(store: ModelStore):
    """A version whose bytes went bad is no reason not to publish."""
    version = publish(_product(), PublishTarget(store=store)).version
    path = version.path("model.onnx")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")

    again = publish(_product(), PublishTarget(store=store))

    assert again.fresh
    assert again.version.number == 2


def test_two_first_publications_at_once_make_one_version(store: ModelStore):
    """Whoever comes second waits and finds the version of the first (M-1)."""
    target = PublishTarget(store=store)

    with ThreadPoolExecutor(2) as executor:
        both = list(executor.map(lambda _: publish(_product(), target), range(2)))

    assert store.numbers("tiny-head") == [1]
    assert sorted(published.fresh for published in both) == [False, True]
    assert {published.version.digest for published in both} == {store.resolve("tiny-head").digest}


def test_an_image_states_the_commit_that_it_was_built_from(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Where no checkout is, as in an image, the commit comes from the build (M-2)."""
    monkeypatch.setenv("GIT_COMMIT", "c" * 40)
    monkeypatch.setenv("GIT_DIR", str(tmp_path))

    manifest = publish(_product(), PublishTarget(store=store)).version.manifest

    assert manifest.provenance.git_commit == "c" * 40


def test_manifest_tells_where_it_comes_from(store: ModelStore):
    """Source, training, data, tools and the golden set are in the manifest (M-2)."""
    manifest = publish(_product(), PublishTarget(store=store)).version.manifest

    assert manifest.provenance.trained
    assert manifest.provenance.data_version == "d1"
    assert {"torch", "onnx", "onnxruntime-gpu"} <= manifest.provenance.tools.keys()
    assert manifest.opset == 23
    assert manifest.golden is not None
    assert manifest.golden.count == 3
    assert manifest.norm_range[0] < 4.0 < manifest.norm_range[1]


def test_untrained_is_said_in_the_notes(store: ModelStore):
    """Random weights are called untrained wherever the version is shown."""
    said: list[str] = []
    product = _product(source=provenance_of(source="test", trained=False))

    published = publish(product, PublishTarget(store=store, notify=said.append))

    assert not published.version.manifest.provenance.trained
    assert any("untrained" in note for note in published.version.manifest.provenance.notes)
    assert any("untrained" in line for line in said)


def test_refused_graph_leaves_nothing(store: ModelStore):
    """A graph that fails its own checks is not visible, and no alias is set."""
    product = _product(norm_range=(100.0, 101.0))

    with pytest.raises(Exception, match="norm"):
        publish(product, PublishTarget(store=store))

    assert store.numbers("tiny-head") == []
    with pytest.raises(NotInStore):
        store.resolve("tiny-head")
