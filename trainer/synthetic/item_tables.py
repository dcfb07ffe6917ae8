"""Tables of manufacturing items whose routings are known: features, metadata, and the truth beside them.

A routing is a sequence of operations. Items of one routing share, with exceptions, its process, material and
tools, and lie near each other in size, complexity, precision and volume. Tables have what real ones have:
missing values, wrong units, rare words, columns that say nothing, and poorer records of items that are
seldom made. A later snapshot has lost some items, changed some, and gained some with suppliers and materials
that the first never had.
Shapes: N items, R routings, L hidden traits, C columns of numbers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model_store.durable import replacing

FEATURES_FILE, METADATA_FILE, TRUTH_FILE = "features.parquet", "item_metadata.json", "truth.parquet"
_PIECE = 10_000
ITEMS_A_ROUTING, _MOST_ROUTINGS = 25, 5_000
GONE, CHANGED, GAINED = 0.01, 0.005, 0.05

# Words by column: those of a routing's own, and how often an item has them.
_LISTED = {
    "category": (0.97, "bracket housing shaft gear flange bushing cover manifold frame valve rotor pin"),
    "process": (0.95, "milling turning casting forging stamping moulding sheet_bending welding grinding"),
    "second_process": (0.9, "none drilling deburring broaching tapping honing lapping"),
    "material": (0.95, "steel stainless aluminium brass titanium cast_iron nylon abs peek"),
    "surface": (0.9, "none anodised zinc nickel painted polished passivated"),
    "heat_treatment": (0.9, "none quenched carburised nitrided annealed"),
    "tolerance_class": (0.85, "IT6 IT7 IT8 IT9 IT11 IT13"),
    "industry": (0.8, "automotive aerospace medical energy rail furniture electronics agriculture"),
    "plant": (0.7, "north south east west"),
    "inspection": (0.85, "visual gauge cmm xray"),
    "packaging": (0.4, "box crate pallet tray bag"),
}
_NUMBERED = {
    "grade": (0.85, "G", 40), "machine_group": (0.85, "MG", 24), "tool": (0.8, "T", 600),
    "supplier": (0.5, "S", 300), "customer": (0.4, "C", 900),
}  # fmt: skip
WORDS: dict[str, tuple[tuple[str, ...], float]] = {
    name: (tuple(words.split()), share) for name, (share, words) in _LISTED.items()
} | {
    name: (tuple(f"{letter}{number:04d}" for number in range(count)), share)
    for name, (share, letter, count) in _NUMBERED.items()
}
# Words that only later snapshots have.
NEW_WORDS = {"supplier": ("S9001", "S9002", "S9003"), "material": ("magnesium",)}
DOMAIN_WEIGHTS = {
    "automotive": 2.0, "aerospace": 1.8, "medical": 1.5, "energy": 1.2, "rail": 1.0, "furniture": 0.5,
    "electronics": 1.0, "agriculture": 0.7,
}  # fmt: skip
# Traits that a routing fixes and an item varies around.
_TRAITS = ("size", "slenderness", "wall", "complexity", "precision", "hardness", "volume", "cost")
# Columns of numbers with the traits that move them: amounts, which have heavy tails, scores, and what says
# nothing of the item.
# Each with its typical value.
_AMOUNTS = {
    "length_mm": (180, "size slenderness"), "width_mm": (70, "size"), "height_mm": (40, "size wall"),
    "diameter_mm": (55, "size"), "wall_mm": (6, "wall size"), "weight_g": (800, "size wall hardness"),
    "volume_cm3": (110, "size wall"), "surface_cm2": (300, "size complexity"),
    "hole_count": (6, "complexity"),
    "thread_count": (4, "complexity"), "bend_count": (3, "slenderness complexity"),
    "weld_mm": (90, "slenderness size"), "pocket_count": (3, "complexity precision"),
    "tolerance_um": (40, "precision"), "roughness_um": (2, "precision wall"),
    "flatness_um": (30, "precision slenderness"), "cycle_s": (95, "complexity size precision"),
    "setup_min": (45, "complexity precision"), "tool_changes": (7, "complexity"),
    "production_volume": (2_000, "volume"), "batch_size": (150, "volume"), "orders_a_year": (14, "volume"),
    "unit_cost": (9, "cost size precision"), "unit_price": (14, "cost size precision"),
    "tooling_cost": (5_000, "cost complexity"), "energy_kwh": (3, "hardness size"),
    "coolant_l": (2, "hardness complexity"), "lead_time_d": (12, "cost complexity"),
    "carbon_kg": (4, "size hardness"), "stock": (500, "volume"), "minimum_order": (50, "volume cost"),
}  # fmt: skip
# Each with its centre and spread.
_SCORES = {
    "hardness_hrc": (38, 8, "hardness"), "tensile_mpa": (620, 140, "hardness"),
    "density": (6.1, 1.2, "hardness size"), "aspect": (4, 1, "slenderness"),
    "symmetry": (0.6, 0.1, "complexity"),
    "draft_deg": (2, 0.5, "wall"), "clamping": (5, 1.5, "precision"), "automation": (3, 0.8, "volume"),
    "utilisation": (0.7, 0.08, "volume"), "scrap_rate": (0.04, 0.01, "precision complexity"),
    "rework_rate": (0.03, 0.01, "precision"), "shipping_score": (50, 12, "cost"),
}  # fmt: skip
_WHOLE = ("production_volume", "batch_size", "orders_a_year", "tool_changes", "stock", "minimum_order")
_NOISE = ("revision", "page_count", "shelf", "audit_score")
NUMBERS = (*_AMOUNTS, *_SCORES, *_NOISE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Routings:
    """trait_RL: where each routing lies; word_R: its own word, by column; loading_LC: traits to numbers."""

    trait_RL: np.ndarray
    word_R: dict[str, np.ndarray]
    loading_LC: np.ndarray


def write_item_table(folder: Path, count: int, seed: int = 42, *, snapshot: int = 1) -> Path:
    """Write a table of about `count` items with its metadata and its truth; returns the table's path.

    Writes `features.parquet`, `item_metadata.json` and `truth.parquet` (`item_id`, `routing`). The same
    arguments give the same table. snapshot: 2 and later are what became of the table of snapshot 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    routings = _draw_routings(max(4, min(_MOST_ROUTINGS, count // ITEMS_A_ROUTING)), seed)
    ids: list[str] = []
    with (
        replacing(folder / FEATURES_FILE) as features,
        replacing(folder / TRUTH_FILE) as truth,
        _writer(features, _schema()) as write_features,
        _writer(truth, pa.schema({"item_id": pa.string(), "routing": pa.int32()})) as write_truth,
    ):
        for table, routing_N in _pieces(routings, count, seed, snapshot):
            write_features.write_table(table)
            ids += table.column("item_id").to_pylist()
            write_truth.write_table(
                pa.table({"item_id": table.column("item_id"), "routing": pa.array(routing_N, pa.int32())})
            )
    _write_metadata(folder / METADATA_FILE, ids, snapshot)
    return folder / FEATURES_FILE


def read_truth(folder: Path) -> dict[str, int]:
    """The routing of each item."""
    table = pq.read_table(folder / TRUTH_FILE)
    return dict(zip(table.column("item_id").to_pylist(), table.column("routing").to_pylist(), strict=True))


def _writer(path: Path, schema: pa.Schema) -> Any:
    return pq.ParquetWriter(path, schema)


def _draw_routings(count: int, seed: int) -> _Routings:
    rng = np.random.default_rng([seed, 0])
    word_R = {name: rng.integers(0, len(words), count) for name, (words, _) in WORDS.items()}
    loading_LC = np.zeros((len(_TRAITS), len(NUMBERS)))
    for column, name in enumerate(NUMBERS):
        for trait in _traits(name):
            loading_LC[_TRAITS.index(trait), column] = rng.uniform(0.6, 1.2) * rng.choice([-1, 1])
    return _Routings(
        trait_RL=rng.standard_normal((count, len(_TRAITS))), word_R=word_R, loading_LC=loading_LC
    )


def _traits(name: str) -> list[str]:
    return str((_AMOUNTS | _SCORES)[name][-1]).split() if name not in _NOISE else []


def _pieces(
    routings: _Routings, count: int, seed: int, snapshot: int
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Tables of at most 10,000 items, each drawn with a seed of its own, with the routing of each item."""
    gained = count + round(count * GAINED) * (snapshot - 1)
    for start in range(0, gained, _PIECE):
        number_N = np.arange(start, min(start + _PIECE, gained))
        rng = np.random.default_rng([seed, 1, start])
        # A whole piece is drawn: how many items there are decides nothing of those that are.
        table, routing_N = _draw_items(routings, np.arange(start, start + _PIECE), rng)
        kept_N = number_N
        if snapshot > 1:
            later = np.random.default_rng([seed, snapshot, start])
            fate_N = later.random(_PIECE)[: len(number_N)]
            old_N = number_N < count
            table = _changed(table, (fate_N > 1 - CHANGED) & old_N, ~old_N, later)
            kept_N = number_N[~((fate_N < GONE) & old_N)]
        rows = pa.array(kept_N - start)
        yield table.take(rows), routing_N[kept_N - start]


def _draw_items(
    routings: _Routings, number_N: np.ndarray, rng: np.random.Generator
) -> tuple[pa.Table, np.ndarray]:
    count = len(number_N)
    routing_N = rng.integers(0, len(routings.trait_RL), count)
    trait_NL = routings.trait_RL[routing_N] + 0.35 * rng.standard_normal((count, len(_TRAITS)))
    # What is seldom made is poorly recorded.
    care_N = 1 / (1 + np.exp(-trait_NL[:, _TRAITS.index("volume")]))
    columns: dict[str, Any] = {"item_id": pa.array([f"IT-{number:08d}" for number in number_N])}
    for name, (words, share) in WORDS.items():
        own_N = rng.random(count) < share * (0.7 + 0.3 * care_N)
        word_N = np.where(own_N, routings.word_R[name][routing_N], rng.integers(0, len(words), count))
        missing_N = rng.random(count) < 0.02
        codes = pa.array(word_N.astype(np.int32), mask=missing_N)
        columns[name] = pa.DictionaryArray.from_arrays(codes, pa.array(words))
    noise_NC = rng.standard_normal((count, len(NUMBERS))) * (0.2 + 0.8 * (1 - care_N))[:, None]
    value_NC = _recorded(trait_NL @ routings.loading_LC + noise_NC, rng)
    for column, name in enumerate(NUMBERS):
        columns[name] = pa.array(value_NC[:, column], mask=np.isnan(value_NC[:, column]))
    return pa.table(columns).cast(_schema()), routing_N


def _recorded(value_NC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hidden values as somebody typed them: amounts with heavy tails, gaps, and wrong units."""
    amounts = len(_AMOUNTS)
    typical_C = np.array([typical for typical, _ in _AMOUNTS.values()])
    value_NC[:, :amounts] = typical_C * np.exp(1.2 * value_NC[:, :amounts])
    centre_C, spread_C = np.array([score[:2] for score in _SCORES.values()]).T
    scores = slice(amounts, amounts + len(_SCORES))
    value_NC[:, scores] = centre_C + spread_C * value_NC[:, scores]
    counts = [column for column, name in enumerate(_AMOUNTS) if name.endswith("_count") or name in _WHOLE]
    value_NC[:, counts] = value_NC[:, counts].round()
    wrong_NC = rng.random(value_NC.shape) < 0.004
    value_NC = np.where(wrong_NC, value_NC * rng.choice([1000.0, 0.001, 25.4], value_NC.shape), value_NC)
    value_NC[rng.random(value_NC.shape) < 0.001] = -1.0
    value_NC[rng.random(value_NC.shape) < 0.03] = np.nan
    return value_NC.round(4)


def _changed(table: pa.Table, changed_N: np.ndarray, new_N: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """The table of a later snapshot: other cycle times where changed, and new words among new items."""
    rows = len(changed_N)
    table = table.slice(0, rows)
    cycle_N = np.array(table.column("cycle_s").to_numpy())
    cycle_N[changed_N] = rng.uniform(10, 500, int(changed_N.sum())).round(4)
    columns = {name: table.column(name) for name in table.column_names}
    columns["cycle_s"] = pa.array(cycle_N, mask=np.isnan(cycle_N))
    for name, words in NEW_WORDS.items():
        chosen_N = new_N & (rng.random(rows) < 0.3)
        values = np.array(table.column(name).to_pylist(), dtype=object)
        values[chosen_N] = rng.choice(words, int(chosen_N.sum()))
        columns[name] = pa.array(values.tolist(), pa.string()).dictionary_encode()
    return pa.table(columns).cast(_schema())


def _schema() -> pa.Schema:
    words = dict.fromkeys(WORDS, pa.string())
    return pa.schema({"item_id": pa.string(), **words, **dict.fromkeys(NUMBERS, pa.float64())})


def _write_metadata(path: Path, ids: list[str], snapshot: int) -> None:
    body: Mapping[str, Any] = {"snapshot_id": f"drawn-{snapshot}", "domain_weights": DOMAIN_WEIGHTS}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(body)[:-1] + ', "items": {\n')
        stream.write(",\n".join(f'"{item_id}": {{"name": "part {item_id[3:]}"}}' for item_id in ids))
        stream.write("\n}}\n")
