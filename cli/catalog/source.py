"""How a shop's own table is read: what its columns are called here, and where its pictures come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from atelier.recommender.v1 import recommender_pb2
from typer import Option

from cli.catalog.downloads import DownloadRules
from cli.catalog.rows import ImportRow, TableReading, read_rows
from cli.errors import USAGE, CommandError
from cli.insight import UNITS, read_sales


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """Names of columns, and rules for pictures that a table has web addresses of."""

    column: Annotated[
        list[str] | None,
        Option(
            help="Name that a column of the table has here, as in 상품코드=item_id; 상품코드= leaves it out. "
            "May be repeated."
        ),
    ] = None
    columns: Annotated[
        Path | None,
        Option(help="YAML with a line for each column to rename, as in `상품코드: item_id`. Default: none."),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        Option(
            help="Host that pictures may be downloaded from, as in cdn.shop.kr or cdn.shop.kr:8443. May be "
            "repeated."
        ),
    ] = None
    allow_private: Annotated[
        bool,
        Option("--allow-private", help="Download from hosts whose address is not public, too."),
    ] = False
    downloads: Annotated[Path, Option(help="Folder to keep downloaded pictures in.")] = Path("var/downloads")
    download_again: Annotated[
        bool, Option("--download-again", help="Download pictures that were downloaded before, too.")
    ] = False

    def rows(self, path: Path, attributes: Path | None) -> list[ImportRow]:
        """The items; see `read_rows`."""
        reading = TableReading(
            columns={name: here for name, here in self._names().items() if here != UNITS},
            rules=DownloadRules(
                hosts=frozenset(host.lower() for host in self.allow_host or ()), private=self.allow_private
            ),
            downloads=self.downloads,
            again=self.download_again,
        )
        return read_rows(path, attributes, reading)

    def sales(self, path: Path) -> list[recommender_pb2.SalesRow]:
        """Units sold by item; its columns may be called as those of the items."""
        return list(read_sales(path, self._names()))

    def _names(self) -> Mapping[str, str]:
        """Columns by their names in the table. Raises CommandError: for what is no pair of names."""
        names = {} if self.columns is None else _read_names(self.columns)
        for pair in self.column or ():
            name, sign, here = pair.partition("=")
            if not name or not sign:
                raise CommandError(f"--column {pair}: expected NAME=FIELD", code=USAGE)
            names[name.strip()] = here.strip()
        return names


def _read_names(path: Path) -> dict[str, str]:
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise CommandError(f"{path}: not readable as YAML", code=USAGE) from error
    if not isinstance(body, dict) or not all(isinstance(here, str | None) for here in body.values()):
        raise CommandError(f"{path}: expected a line for each column, as in `상품코드: item_id`", code=USAGE)
    return {str(name): here or "" for name, here in body.items()}
