"""One other engine over the same data: `python engines.py ENGINE DATA.npz`, in an environment of its own.

Imports numpy and the engine alone. DATA holds `vector_ND`, `query_QD`, `own_Q` (the item that each query is,
which does not count) and a bool array `allowed_<filter>` over the items for each filter. Prints JSON: per
filter the p50 of a lone caller in ms, queries a second and recall@10; the build time; points a second.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

NEAREST, M, EF_CONSTRUCTION, EF = 10, 32, 200, 64
TIE = 1e-6
SECONDS = 3.0
BATCH = 1_000
RELEASED = 1_000

Search = Callable[[np.ndarray, str], list[int]]


def payload(number: int) -> dict[str, Any]:
    """The attributes of an item. Words for truth values: Qdrant's binding matches none."""
    words = {"half": f"h{number % 2}", "twentieth": f"t{number % 20}", "bucket": f"b{number % 200}"}
    return {**words, "stock": "no" if number % 5 == 0 else "yes", "released": number}


@contextmanager
def hnswlib_engine(data: Any, figures: dict[str, Any]) -> Iterator[Search]:
    """The bare library, one thread a query; a filter is a Python function of the label."""
    import hnswlib

    vector_ND = data["vector_ND"]
    begun = time.perf_counter()
    index = hnswlib.Index("cosine", vector_ND.shape[1])
    index.init_index(len(vector_ND), M=M, ef_construction=EF_CONSTRUCTION)
    index.add_items(vector_ND)
    index.set_ef(EF)
    figures["build_s"] = round(time.perf_counter() - begun, 1)

    allowed = {key: data[key].tolist().__getitem__ for key in data if key.startswith("allowed_")}

    def search(query_D: np.ndarray, name: str) -> list[int]:
        accepts = allowed[f"allowed_{name}"] if name else None
        labels: list[int] = index.knn_query(query_D, k=NEAREST + 1, num_threads=1, filter=accepts)[0][
            0
        ].tolist()
        return labels

    yield search


@contextmanager
def qdrant_engine(data: Any, figures: dict[str, Any]) -> Iterator[Search]:
    """Qdrant's engine in this process, payloads returned."""
    import qdrant_edge as q  # type: ignore[import-not-found]  # of its own environment

    field = q.FieldCondition
    filters = {
        "half": q.Filter(must=[field(key="half", match=q.MatchValue("h0"))]),
        "twentieth": q.Filter(must=[field(key="twentieth", match=q.MatchValue("t3"))]),
        "two_hundredth": q.Filter(must=[field(key="bucket", match=q.MatchValue("b7"))]),
        "three": q.Filter(
            must=[
                field(key="twentieth", match=q.MatchValue("t4")),
                field(key="stock", match=q.MatchValue("yes")),
                field(key="released", range=q.RangeFloat(gte=float(RELEASED))),
            ]
        ),
    }
    vector_ND = data["vector_ND"]
    with tempfile.TemporaryDirectory() as folder:
        graph = q.HnswIndexConfig(m=M, ef_construct=EF_CONSTRUCTION, full_scan_threshold=10_000)
        shard = q.EdgeShard.create(
            folder,
            q.EdgeConfig(
                vectors={"": q.EdgeVectorParams(size=vector_ND.shape[1], distance=q.Distance.Cosine)},
                hnsw_config=graph,
            ),
        )
        begun = time.perf_counter()
        for key in payload(0):
            kind = q.PayloadSchemaType.Integer if key == "released" else q.PayloadSchemaType.Keyword
            shard.update(q.UpdateOperation.create_field_index(key, kind))
        for start in range(0, len(vector_ND), BATCH):
            points = [
                q.Point(start + n, vector_D.tolist(), payload(start + n))
                for n, vector_D in enumerate(vector_ND[start : start + BATCH])
            ]
            shard.update(q.UpdateOperation.upsert_points(points))
        figures["points_a_second"] = round(len(vector_ND) / (time.perf_counter() - begun))
        begun = time.perf_counter()
        shard.optimize()
        figures["build_s"] = round(time.perf_counter() - begun, 1)

        def search(query_D: np.ndarray, name: str) -> list[int]:
            request = q.QueryRequest(
                limit=NEAREST + 1,
                query=q.Query.Nearest(query_D.tolist()),
                filter=filters[name] if name else None,
                params=q.SearchParams(hnsw_ef=EF),
                with_payload=True,
            )
            return [point.id for point in shard.query(request)]

        yield search
        shard.close()


@contextmanager
def milvus_engine(data: Any, figures: dict[str, Any]) -> Iterator[Search]:
    """Milvus Lite through the client of the cluster, fields returned."""
    from pymilvus import DataType, MilvusClient  # type: ignore[import-not-found]  # as above

    filters = {
        "half": 'half == "h0"',
        "twentieth": 'twentieth == "t3"',
        "two_hundredth": 'bucket == "b7"',
        "three": f'twentieth == "t4" and stock == "yes" and released >= {RELEASED}',
    }
    vector_ND = data["vector_ND"]
    with tempfile.TemporaryDirectory() as folder:
        client = MilvusClient(str(Path(folder) / "items.db"))
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vector_ND.shape[1])
        for name in ("half", "twentieth", "bucket", "stock"):
            schema.add_field(name, DataType.VARCHAR, max_length=8)
        schema.add_field("released", DataType.INT64)
        index = client.prepare_index_params()
        index.add_index(
            "vector",
            index_type="HNSW",
            metric_type="COSINE",
            params={"M": M, "efConstruction": EF_CONSTRUCTION},
        )
        begun = time.perf_counter()
        client.create_collection("items", schema=schema, index_params=index)
        for start in range(0, len(vector_ND), BATCH):
            rows = [
                {"id": start + n, "vector": vector_D.tolist(), **payload(start + n)}
                for n, vector_D in enumerate(vector_ND[start : start + BATCH])
            ]
            client.insert("items", rows)
        figures["points_a_second"] = round(len(vector_ND) / (time.perf_counter() - begun))
        begun = time.perf_counter()
        client.flush("items")
        client.load_collection("items")
        figures["build_s"] = round(time.perf_counter() - begun, 1)

        def search(query_D: np.ndarray, name: str) -> list[int]:
            hits = client.search(
                "items",
                [query_D.tolist()],
                filter=filters[name] if name else "",
                limit=NEAREST + 1,
                search_params={"params": {"ef": EF}},
                output_fields=list(payload(0)),
            )[0]
            return [hit["id"] for hit in hits]

        yield search
        client.close()


def recall(data: Any, name: str, replies: list[list[int]]) -> float:
    """Mean recall@10 against exact search; a query's own item does not count."""
    similarity_QN = data["query_QD"] @ data["vector_ND"].T
    similarity_QN[np.arange(len(replies)), data["own_Q"]] = -np.inf
    if name:
        similarity_QN[:, ~data[f"allowed_{name}"]] = -np.inf
    tenth_Q = -np.partition(-similarity_QN, NEAREST - 1, axis=1)[:, NEAREST - 1]
    hits = []
    for row_N, own, tenth, numbers in zip(similarity_QN, data["own_Q"], tenth_Q, replies, strict=True):
        others = [number for number in numbers if number != own][:NEAREST]
        hits.append(int((row_N[others] >= tenth - TIE).sum()))
    return round(float(np.mean(hits)) / NEAREST, 4)


def measure(search: Search, data: Any, name: str) -> dict[str, float]:
    """p50 and rate of a lone caller, and the recall."""
    queries = list(data["query_QD"])
    replies = [search(query_D, name) for query_D in queries]
    taken: list[float] = []
    end = time.perf_counter() + SECONDS
    while (begun := time.perf_counter()) < end:
        search(queries[len(taken) % len(queries)], name)
        taken.append((time.perf_counter() - begun) * 1_000)
    return {
        "p50_ms": round(float(np.median(taken)), 3),
        "queries_a_second": round(len(taken) / SECONDS, 1),
        "recall": recall(data, name, replies),
    }


ENGINES = {"hnswlib": hnswlib_engine, "qdrant": qdrant_engine, "milvus": milvus_engine}


def main() -> None:
    """Measure the engine of the command line and print its figures."""
    data = dict(np.load(sys.argv[2]))
    figures: dict[str, Any] = {}
    with ENGINES[sys.argv[1]](data, figures) as search:
        figures["plain"] = measure(search, data, "")
        for name in sorted(key.removeprefix("allowed_") for key in data if key.startswith("allowed_")):
            figures[name] = measure(search, data, name)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
