"""What holds for every kind of encoder, and for each kind alone (F-7, F-23)."""

import copy
import itertools
import unicodedata
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from inference.attributes import MOST_TERMS
from inference.session import Session
from tests.trainer.fashion.encoder_kinds import (
    KINDS,
    RECORDS,
    SCHEMA,
    arrays,
    encode,
    make_encoder,
    tensors,
)
from trainer.fashion.config import AttentionSettings, ResidualSettings, read_fashion_config
from trainer.fashion.encoders import FieldEncoder, PooledEncoder, RecordEncoder, build_encoder, encode_tensors
from trainer.fashion.export import VECTOR, encoder_signature
from trainer.publication.graphs import make_graph, opened, prove_parity

LONG = [f"word {number}" for number in range(MOST_TERMS)]


def _words(vocabulary: tuple[str, ...]) -> st.SearchStrategy[str]:
    known = st.sampled_from([*vocabulary, *(unicodedata.normalize("NFD", word) for word in vocabulary)])
    unknown = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
    return known | unknown


def _records() -> st.SearchStrategy[dict[str, object]]:
    """Any fields missing, null, empty, unknown, composed or decomposed; lists of up to 1,000 words."""
    values = {}
    for field in SCHEMA.fields:
        word = _words(field.vocabulary)
        lists = st.lists(word, max_size=6)
        values[field.name] = (
            lists | lists.map(lambda words: words + LONG[len(words) :]) if field.multiple else word
        )
    return st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in values.items()})


@pytest.fixture(scope="module", params=KINDS)
def encoder(request: pytest.FixtureRequest) -> RecordEncoder:
    """One of every kind, ready to encode, with the statistics of some batches."""
    made = make_encoder(request.param)
    with torch.no_grad():
        for _ in range(3):
            made(*tensors(made, RECORDS))
    return made.eval()


@pytest.fixture(scope="module")
def session(encoder: RecordEncoder) -> Iterator[Session]:
    """The encoder's graph in onnxruntime."""
    sample = arrays(RECORDS[:2])
    with opened(make_graph(encoder, sample, encoder_signature(encoder), "onnx")) as session:
        yield session


@settings(max_examples=50)
@given(records=st.lists(_records(), min_size=1, max_size=4))
def test_output_is_512_numbers_of_length_one(encoder: RecordEncoder, records):
    """Whatever the records (F-3, F-7, F-23)."""
    vector_BD = encode(encoder, records)

    assert vector_BD.shape == (len(records), 512)
    assert vector_BD.dtype == torch.float32
    assert torch.isfinite(vector_BD).all()
    assert torch.allclose(vector_BD.norm(dim=-1), torch.ones(len(records)), atol=1e-5)


@pytest.mark.slow
@given(records=st.lists(_records(), min_size=1, max_size=4))
def test_graph_gives_what_the_module_gives(encoder: RecordEncoder, session: Session, records):
    """Whatever the records, the batch and the lengths of the lists (F-3, F-7, F-23)."""
    found = session.run(arrays(records))[VECTOR]

    assert np.allclose(found, encode(encoder, records).numpy(), atol=1e-5)


@pytest.mark.slow
@settings(max_examples=40)
@given(record=_records(), others=st.lists(_records(), min_size=1, max_size=4))
def test_batch_mates_change_no_bit_of_an_answer(session: Session, record, others):
    """The graph answers the same to a record alone, among others, beside lists of any length."""
    # proves F-7, F-23
    alone = session.run(arrays([record]))[VECTOR]
    among = session.run(arrays([*others, record, *others]))[VECTOR]

    assert np.array_equal(among[len(others)], alone[0])


@settings(max_examples=40)
@given(record=_records(), others=st.lists(_records(), min_size=1, max_size=4))
def test_a_row_is_its_record_alone(encoder: RecordEncoder, record, others):
    """So it is in torch, up to rounding (F-7, F-23)."""
    alone = encode(encoder, [record])
    among = encode(encoder, [*others, record])

    assert torch.allclose(among[-1], alone[0], atol=1e-6)


@settings(max_examples=40)
@given(record=_records(), seed=st.integers(0, 1 << 32))
def test_order_of_words_changes_nothing(encoder: RecordEncoder, record, seed):
    """A list is a set, also to an encoder whose words were not sorted before (F-7)."""
    order = torch.randperm(1024, generator=torch.Generator().manual_seed(seed))
    listed = tensors(encoder, [record])
    shuffled = [
        tensor[:, order[order < tensor.shape[1]]] if tensor.ndim == 2 else tensor for tensor in listed
    ]

    with torch.no_grad():
        assert torch.allclose(encoder(*shuffled), encoder(*listed), atol=1e-6)


def test_missing_unknown_and_known_differ(encoder: RecordEncoder):
    """Missing is a value of its own, and so is unknown, in a single field and in a list."""
    # proves F-3, F-4
    vector_BD = encode(
        encoder, [{}, {"category": "?"}, {"category": "코트"}, {"style": ["?"]}, {"style": ["모던"]}]
    )

    assert (vector_BD @ vector_BD.T - torch.eye(5)).max() < 0.9999


def test_missing_is_learnt(encoder: RecordEncoder):
    """The empty record moves the first row of every table, single or list (F-3)."""
    learner = copy.deepcopy(encoder)

    learner(*tensors(learner, [{}]))[0, 0].backward()

    tables = [table for part in learner.modules() if isinstance(part, FieldEncoder) for table in part.tables]
    assert len(tables) >= len(SCHEMA.fields)
    assert all(table.weight.grad[0].abs().sum() > 0 for table in tables)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_every_parameter(encoder: RecordEncoder, training: bool):
    """None is there for nothing: in double precision, where one that cancels out is seen to be zero."""
    # proves F-23
    learner = copy.deepcopy(encoder).double().train(training)
    inputs = [
        tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors(learner, RECORDS)
    ]
    wanted_BD = torch.randn(
        len(RECORDS), 512, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )

    (learner(*inputs) * wanted_BD).sum().backward()

    # Of a bias, a softmax takes out what is the keys', a third, and a norm takes out all.
    reached = {
        name: float((weight.grad.abs() > 1e-9).double().mean()) for name, weight in learner.named_parameters()
    }
    assert {name: share for name, share in reached.items() if share < 0.75} == {}


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_gives_the_weights(kind: str):
    """All of them, and another seed others (F-10, F-23)."""
    one, same, other = (make_encoder(kind, seed).state_dict() for seed in (7, 7, 8))

    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one[next(iter(one))], other[next(iter(one))])


def test_torchscript_gives_what_the_module_gives(encoder: RecordEncoder):
    """Frozen, folded, and with axes that vary (F-23)."""
    signature = encoder_signature(encoder)
    graph = make_graph(encoder, arrays(RECORDS[:2]), signature, "torchscript")

    parity = prove_parity(encoder, graph, [arrays(RECORDS), arrays([{"style": LONG}])], signature)

    assert parity[VECTOR] < 1e-5


def test_the_default_is_lookup_mean_and_two_layers():
    """No transformer, no attention, no graph: tables, linear layers, and what goes between them."""
    # proves F-7
    encoder = build_encoder(SCHEMA.fields, read_fashion_config().encoder)

    assert isinstance(encoder, PooledEncoder)
    assert [type(layer) for layer in encoder.network] == [
        nn.Linear,
        nn.LayerNorm,
        nn.GELU,
        nn.Dropout,
        nn.Linear,
    ]
    assert {type(part) for part in encoder.modules()} == {
        PooledEncoder, nn.ModuleList, nn.Embedding, nn.Sequential, *map(type, encoder.network)
    }  # fmt: skip


def test_a_list_is_the_mean_of_its_words():
    """Each word once, and the places of padding count for nothing (F-7)."""
    encoder = make_encoder("pooled").eval()
    seen = []
    encoder.network[0].register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))

    encode(encoder, [{"style": ["모던", "히피"]}])

    category, style, detail, *_ = seen[0].reshape(len(SCHEMA.fields), -1)
    tables = [table.weight for table in encoder.tables]
    assert torch.allclose(style, (tables[1][2] + tables[1][4]) / 2)
    assert torch.equal(category, tables[0][0])
    assert torch.equal(detail, tables[2][0])


ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


@pytest.mark.parametrize(
    ("blocks", "activation", "norm", "dropout"),
    [*itertools.product([3, 5, 7], ACTIVATIONS, NORMS, [0.1, 0.2, 0.3])],
)
def test_every_form_that_is_offered_is_built(blocks: int, activation: str, norm: str, dropout: float):
    """Depth, activation, norm and dropout are those of the settings, and no others (F-23)."""
    encoder = build_encoder(
        SCHEMA.fields,
        ResidualSettings(
            field_dim=4, hidden_dim=8, blocks=blocks, activation=activation, norm=norm, dropout=dropout
        ),
    ).eval()
    parts = [type(part) for part in encoder.modules()]

    assert encode(encoder, [{}, {"category": "코트"}]).shape == (2, 512)
    # One more of each before the first block, and one after the last.
    assert parts.count(ACTIVATIONS[activation]) == parts.count(NORMS[norm]) == blocks + 2
    assert not {*ACTIVATIONS.values(), *NORMS.values()} - {ACTIVATIONS[activation], NORMS[norm]} & {*parts}
    assert {part.p for part in encoder.modules() if isinstance(part, nn.Dropout)} == {dropout}


def test_two_records_are_a_batch():
    """The least that a batch norm can learn from (F-23)."""
    encoder = make_encoder("residual, batch").train()

    vector_BD = encoder(*tensors(encoder, RECORDS[:2]))
    vector_BD.sum().backward()

    assert torch.isfinite(vector_BD).all()
    assert all(torch.isfinite(weight.grad).all() for weight in encoder.parameters())
    assert int(encoder.network[1].num_batches_tracked) == 1


@pytest.mark.parametrize(
    ("dim", "heads", "layers"), [*itertools.product([128, 256, 512], [4, 8, 16], [2, 4, 6])]
)
def test_every_size_that_is_offered_encodes(dim: int, heads: int, layers: int):
    """All that the requirement lists (F-23)."""
    encoder = build_encoder(SCHEMA.fields, AttentionSettings(dim=dim, heads=heads, layers=layers)).eval()

    assert encode(encoder, [{}, {"category": "코트"}]).shape == (2, 512)
    assert len(encoder.blocks) == layers
    assert encoder.tables[0].embedding_dim == dim


def test_heads_divide_the_same_weights():
    """Their number changes what is computed and not what is learnt (F-23)."""
    vectors, shapes = [], []
    for heads in (4, 16):
        torch.manual_seed(0)
        encoder = build_encoder(SCHEMA.fields, AttentionSettings(heads=heads)).eval()
        vectors.append(encode(encoder, [{"category": "코트", "style": ["모던"]}]))
        shapes.append({name: weight.shape for name, weight in encoder.state_dict().items()})

    assert shapes[0] == shapes[1]
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-6)


def test_attention_is_that_of_torch():
    """The written-out product gives what `nn.MultiheadAttention` gives with its weights (F-23)."""
    torch.manual_seed(0)
    block = build_encoder(SCHEMA.fields, AttentionSettings(heads=8)).eval().blocks[0]
    ours = block.attention[1]
    theirs = torch.nn.MultiheadAttention(128, 8, batch_first=True).eval()
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.project.weight,
            "in_proj_bias": torch.zeros(3 * 128),
            "out_proj.weight": ours.merge.weight,
            "out_proj.bias": ours.merge.bias,
        }
    )
    field_BKF = torch.randn(5, 11, 128)

    with torch.no_grad():
        expected, _ = theirs(field_BKF, field_BKF, field_BKF)
        assert torch.allclose(ours(field_BKF), expected, atol=1e-6)


def test_encoding_in_parts_changes_neither_the_vectors_nor_the_encoder(monkeypatch):
    """In eval mode, whatever mode it was in; parts give the vectors of the whole (F-13, F-23)."""
    encoder = make_encoder("residual, batch").train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    given = {name: torch.from_numpy(array) for name, array in arrays([*RECORDS, RECORDS[0]]).items()}

    whole = encode_tensors(encoder, given)
    monkeypatch.setattr("trainer.fashion.encoders._ROWS", 3)
    parts = encode_tensors(encoder, given)

    assert np.allclose(parts, whole, rtol=0, atol=1e-6)
    assert encoder.training
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
