"""Markdown as every report writes it: blocks with an empty line between them, and tables."""

from collections.abc import Iterable, Mapping, Sequence


def join_blocks(*blocks: str | None) -> str:
    """Paragraphs, headings and tables as one text that ends with a newline; None and "" are left out."""
    return "\n\n".join(block for block in blocks if block) + "\n"


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table; each row has as many cells as the header, written with `str`."""
    lines = [_row(header), "|" + "---|" * len(header)]
    return "\n".join([*lines, *(_row(row) for row in rows)])


def pairs_table(header: tuple[str, str], values: Mapping[str, object]) -> str:
    """A table of two columns: names and their values."""
    return table(header, values.items())


def decimals(value: float | None, places: int = 3) -> str:
    """A number with its decimals; "none" for a missing one."""
    return "none" if value is None else f"{value:.{places}f}"


def interval(share: Mapping[str, float] | None) -> str:
    """A share with its 95 % interval, from the keys `value`, `low` and `high`; empty for a missing one."""
    return "" if share is None else f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
