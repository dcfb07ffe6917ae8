"""The table of item features, read in batches (I-1).

A batch is a pandas frame; words are categorical, so that a column of a million words is one small list.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from model_store.durable import hash_file
from trainer.errors import InvalidData
from trainer.items.config import ItemsConfig

Kind = Literal["number", "word", "other"]
_ITEM_ID = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}", re.ASCII)
_SHOWN = 5
_CSV_BLOCK = 8 << 20


class FeatureTable:
    """A Parquet or CSV file of items, its configured columns checked."""

    def __init__(self, path: Path, config: ItemsConfig) -> None:
        """Read the schema of `path`.

        Raises InvalidData: if the file cannot be read or is of another format, and for configured columns
        that are missing or hold another kind of value, each named.
        """
        self.path, self._config = path, config
        self._wanted = _wanted(config)
        self.schema = _schema(path)
        if path.suffix.lower() == ".csv":
            self.schema = {name: _settled(kind, self._wanted.get(name)) for name, kind in self.schema.items()}
        _check_columns(path, {name: _kind(self.schema[name]) for name in self.schema}, self._wanted)

    @property
    def columns(self) -> dict[str, str]:
        """The type of every column in the file, by name."""
        return {name: str(_plain(kind)) for name, kind in sorted(self.schema.items())}

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that a record shows."""
        return self._config.columns.labels

    @property
    def deciding_columns(self) -> list[str]:
        """The columns that a vector or a weight is made of."""
        only_shown = {*self.labels} - {
            name for group in self._config.groups.values() for name, _ in group.columns()
        }
        kept = {self._config.columns.item_weight, self._config.columns.domain}
        return [name for name in [*self._wanted][1:] if name not in only_shown or name in kept]

    @cached_property
    def digest(self) -> str:
        """sha256 of the file, hexadecimal."""
        return hash_file(self.path)

    @cached_property
    def item_ids(self) -> list[str]:
        """The identifier of every row, in order.

        Raises InvalidData: for a table without rows, and for identifiers that are missing, malformed or not
        unique, with the first of them.
        """
        name = self._config.columns.item_id
        ids: list[str] = []
        for batch in self._arrow([name]):
            ids += batch.column(0).cast(pa.string()).to_pylist()
        if not ids:
            raise InvalidData(f"{self.path}: no rows")
        bad = [(row, item) for row, item in enumerate(ids) if not _ITEM_ID.fullmatch(item or "")]
        if bad:
            shown = ", ".join(f"row {row}: {item!a}" for row, item in bad[:_SHOWN])
            raise InvalidData(
                f"{self.path}: {len(bad)} values of {name} are not 1 to 128 letters, digits, '.', '_', "
                f"':' or '-', not starting with '.': {shown}"
            )
        if len(set(ids)) < len(ids):
            twice = [item for item, count in Counter(ids).items() if count > 1]
            raise InvalidData(
                f"{self.path}: {len(twice)} values of {name} occur twice or more: {', '.join(twice[:_SHOWN])}"
            )
        return ids

    def batches(self) -> Iterator[pd.DataFrame]:
        """The configured columns, `projection.batch_rows` rows at a time, in order."""
        for batch in self._arrow(list(self._wanted)):
            yield _frame(batch, self._wanted)

    def rows(self, row_N: np.ndarray) -> pd.DataFrame:
        """The configured columns of the rows at these positions, ascending."""
        parts, start = [], 0
        for batch in self._arrow(list(self._wanted)):
            low, high = np.searchsorted(row_N, [start, start + batch.num_rows])
            if high > low:
                parts.append(batch.take(pa.array(row_N[low:high] - start)))
            start += batch.num_rows
        return _frame(pa.Table.from_batches(parts).combine_chunks(), self._wanted)

    def _arrow(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches of exactly `projection.batch_rows` rows, the last one shorter."""
        size = self._config.projection.batch_rows
        waiting: list[pa.RecordBatch] = []
        count = 0
        for batch in self._blocks(columns):
            waiting, count = [*waiting, batch], count + batch.num_rows
            while count >= size:
                table = pa.Table.from_batches(waiting)
                yield table.slice(0, size).combine_chunks().to_batches()[0]
                waiting, count = table.slice(size).to_batches(), count - size
        if count:
            yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]

    def _blocks(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        size = self._config.projection.batch_rows
        try:
            if self.path.suffix.lower() == ".parquet":
                with pa.parquet.ParquetFile(self.path) as opened:
                    for batch in opened.iter_batches(batch_size=size, columns=list(columns)):
                        yield batch.select(columns)
            else:
                yield from _open_csv(self.path, columns, self.schema)
        except (pa.ArrowException, OSError) as error:
            raise InvalidData(f"{self.path}: cannot be read as a table ({_line(error)})") from error


def digest_rows(frame: pd.DataFrame) -> np.ndarray:
    """uint64 digest_N: two rows with equal values have the same digest, whatever file they are in."""
    digest_N: np.ndarray = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return digest_N


def data_version(table: FeatureTable, metadata: Path) -> str:
    """sha256, hexadecimal, of the digests of both files."""
    return hashlib.sha256(f"{table.digest} {hash_file(metadata)}".encode()).hexdigest()


def _wanted(config: ItemsConfig) -> dict[str, Kind]:
    """The kind of value that each configured column must hold; labels may hold either."""
    wanted: dict[str, Kind] = dict.fromkeys(config.columns.labels, "other")
    for group in config.groups.values():
        for name, encoding in group.columns():
            wanted[name] = "number" if encoding in ("number", "log") else "word"
    wanted.update(dict.fromkeys(config.columns.targets, "number"))
    if config.columns.item_weight is not None:
        wanted[config.columns.item_weight] = "number"
    if config.columns.domain is not None:
        wanted[config.columns.domain] = "word"
    item_id = config.columns.item_id
    wanted.pop(item_id, None)
    return {item_id: "word", **wanted}


def _schema(path: Path) -> dict[str, pa.DataType]:
    try:
        if path.suffix.lower() == ".parquet":
            schema = pa.parquet.read_schema(path)
        elif path.suffix.lower() == ".csv":
            with pa.csv.open_csv(path, read_options=pa.csv.ReadOptions(block_size=_CSV_BLOCK)) as opened:
                schema = opened.schema
        else:
            raise InvalidData(f"{path}: not a table: expected a file that ends with .parquet or .csv")
    except FileNotFoundError as error:
        raise InvalidData(f"{path}: no such file") from error
    except (pa.ArrowException, OSError) as error:
        raise InvalidData(f"{path}: cannot be read as a table ({_line(error)})") from error
    twice = sorted(name for name, count in Counter(schema.names).items() if count > 1)
    if twice:
        raise InvalidData(f"{path}: columns of the same name: {', '.join(twice)}")
    return {each.name: each.type for each in schema}


def _open_csv(path: Path, columns: Sequence[str], schema: Mapping[str, pa.DataType]) -> Any:
    """Batches of a CSV, its columns of the types in `schema`; a value of another type is an error."""
    return pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=_CSV_BLOCK),
        convert_options=pa.csv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: schema[name] for name in columns},
            strings_can_be_null=True,
        ),
    )


def _settled(kind: pa.DataType, wanted: Kind | None) -> pa.DataType:
    """The type of a CSV column, which was guessed from its first rows: it holds for every later row.

    Words stay as they are written, 007 too; numbers may get a fraction; a column without a value may get one.
    """
    if wanted == "word":
        return pa.string()
    if pa.types.is_integer(kind) or (pa.types.is_null(kind) and wanted == "number"):
        return pa.float64()
    return pa.string() if pa.types.is_null(kind) else kind


def _check_columns(path: Path, has: Mapping[str, Kind], wanted: Mapping[str, Kind]) -> None:
    missing = [name for name in wanted if name not in has]
    if missing:
        raise InvalidData(
            f"{path}: missing columns: {', '.join(missing)}; the file has {', '.join(sorted(has))}"
        )
    wrong = [
        f"{name} holds {has[name]}s, the settings expect {kind}s"
        for name, kind in wanted.items()
        if kind == "number" and has[name] != "number"
    ]
    wrong += [
        f"{name} holds values that are neither text nor numbers" for name in wanted if has[name] == "other"
    ]
    if wrong:
        raise InvalidData(f"{path}: {'; '.join(wrong)}")


def _kind(kind: pa.DataType) -> Kind:
    plain = _plain(kind)
    if pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_boolean(plain):
        return "number"
    # A CSV column without any value has no type.
    is_text = pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_null(plain)
    return "word" if is_text else "other"


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _frame(batch: pa.RecordBatch | pa.Table, wanted: Mapping[str, Kind]) -> pd.DataFrame:
    """The batch in pandas: numbers float64, words categorical; labels as whichever they are."""
    columns = {}
    for name, kind in wanted.items():
        column = batch.column(name)
        is_number = kind == "number" or (kind == "other" and _kind(column.type) == "number")
        columns[name] = _numbers(column) if is_number else _words(column)
    return pd.DataFrame(columns)


def _numbers(column: Any) -> np.ndarray:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _words(column: Any) -> pd.Categorical:
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    combined = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(combined, pa.ChunkedArray):
        combined = combined.unify_dictionaries().chunk(0)
    code_N = combined.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    words = combined.dictionary.cast(pa.string()).to_pylist()
    return pd.Categorical.from_codes(code_N.astype(np.int64), categories=pd.Index(words, dtype=object))


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
