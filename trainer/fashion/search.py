"""Search results as files to look at: a picture a style, and all of it as JSON (F-20).

Shapes: N garments, Q queries, D vector, K results.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.attributes import Normalised
from trainer.errors import InvalidData
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.evaluation.encoded import STYLE, Encoded, style_of
from trainer.fashion.evaluation.retrieval import nearest, rank_own
from trainer.fashion.train import RESULTS
from trainer.fashion.trained_run import TrainedRun
from trainer.pictures import open_thumbnail
from trainer.reports.contact_sheet import SheetRow, Tile, save_sheet
from trainer.reports.json_report import write_report

SEARCH_FOLDER, SEARCH_FILE = "similarity_search", "similarity_search.json"
# Pixels of a picture on a sheet.
_SIDE = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A query's record and its results: rows of the gallery, nearest first, with their cosines.

    own_row, own_place: row and rank of the query's own garment; None for a record without a garment.
    """

    record: Normalised
    row_K: tuple[int, ...]
    similarity_K: tuple[float, ...]
    own_row: int | None = None
    own_place: int | None = None


def search_samples(encoded: Encoded, row_Q: np.ndarray, k: int) -> tuple[Search, ...]:
    """The k pictures nearest to the record of each garment in row_Q, among all garments."""
    before_Q = rank_own(encoded.record_ND, encoded.picture_ND).before_N[row_Q]
    return tuple(
        replace(
            search_record(encoded.garments[row].attributes, encoded.record_ND[row], encoded, k),
            own_row=int(row),
            own_place=int(before) + 1,
        )
        for row, before in zip(row_Q, before_Q, strict=True)
    )


def search_record(record: Normalised, record_D: np.ndarray, encoded: Encoded, k: int) -> Search:
    """The k pictures nearest to a record, which need not be that of a garment."""
    row_K = nearest(record_D[None], encoded.picture_ND, k)[0]
    similarity_K = (encoded.picture_ND[row_K] @ record_D).astype(float)
    return Search(record=record, row_K=tuple(row_K.tolist()), similarity_K=tuple(similarity_K.tolist()))


def write_searches(
    out: Path, searches: Sequence[Search], garments: Sequence[GarmentRecord], run: TrainedRun
) -> dict[str, Any]:
    """Write `results/similarity_search/`: a picture a style and everything as JSON, which is returned."""
    folder = out / RESULTS / SEARCH_FOLDER
    for old in folder.glob("*.png"):
        old.unlink()
    by_style: defaultdict[str, list[Search]] = defaultdict(list)
    for search in searches:
        by_style[_style(search, garments)].append(search)
    pictures = {
        style: save_sheet(
            folder / f"{_file_name(style)}.png",
            [_row(search, garments, run.labels) for search in group],
            side=_SIDE,
        ).name
        for style, group in by_style.items()
    }
    placed = [search.own_place for search in searches if search.own_place is not None]
    k = len(searches[0].row_K)
    body = {
        "k": k,
        "gallery_size": len(garments),
        "pictures": pictures,
        "own_found": sum(place <= k for place in placed),
        "samples": len(placed),
        "unknown_words": run.unknown_words([search.record for search in searches]),
        "searches": [_body(search, garments) for search in searches],
    }
    return write_report(folder / SEARCH_FILE, body)


def _body(search: Search, garments: Sequence[GarmentRecord]) -> Mapping[str, Any]:
    return {
        "query": {name: list(words) for name, words in search.record.items() if words},
        "item_id": None if search.own_row is None else garments[search.own_row].item_id,
        "own_place": search.own_place,
        "found": [
            {"item_id": garments[row].item_id, "similarity": round(similarity, 6)}
            for row, similarity in zip(search.row_K, search.similarity_K, strict=True)
        ],
    }


def _style(search: Search, garments: Sequence[GarmentRecord]) -> str:
    """The style of a query: that of its garment, or the first one that its record names."""
    if search.own_row is not None:
        return style_of(garments[search.own_row])
    return next(iter(search.record.get(STYLE, ())), "query")


def _row(search: Search, garments: Sequence[GarmentRecord], labels: Mapping[str, str]) -> SheetRow:
    words = [
        f"{labels.get(name, name)}: {', '.join(values)}" for name, values in search.record.items() if values
    ]
    own = () if search.own_place is None else (f"own picture: place {search.own_place}",)
    tiles = [
        Tile(
            picture=open_thumbnail(garments[row].path, _SIDE, garments[row].limits),
            caption=f"{cosine:.3f}",
            framed=row == search.own_row,
        )
        for row, cosine in zip(search.row_K, search.similarity_K, strict=True)
    ]
    return SheetRow(heading=(*words, *own), tiles=tiles)


def _file_name(style: str) -> str:
    """A style as a file name: letters and digits of any script, no path."""
    return "".join(sign if sign.isalnum() else "_" for sign in style)[:60] or "query"


def read_query(text: str) -> Mapping[str, object]:
    """A record written as JSON. Raises InvalidData: when it is not a JSON object."""
    try:
        record = json.loads(text)
    except ValueError as error:
        raise InvalidData(f"query {text[:60]!r}: not JSON ({error})") from error
    if not isinstance(record, Mapping):
        raise InvalidData(f"query {text[:60]!r}: {type(record).__name__}, expected fields with values")
    return record
