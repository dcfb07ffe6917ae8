from trainer.reports.markdown import decimals, join_blocks, pairs_table, table


def test_blocks_have_an_empty_line_between_them():
    """Blocks that do not apply leave no gap, and the text ends with a newline."""
    assert join_blocks("# Title", None, "", "Text.") == "# Title\n\nText.\n"


def test_a_table_has_a_header_and_a_row_a_line():
    """Cells are written with `str`."""
    assert table(("k", "recall"), [(1, "0.5"), (10, 0.75)]).splitlines() == [
        "| k | recall |",
        "|---|---|",
        "| 1 | 0.5 |",
        "| 10 | 0.75 |",
    ]
    assert pairs_table(("name", "value"), {"a": 1}) == "| name | value |\n|---|---|\n| a | 1 |"


def test_a_missing_number_is_called_none():
    """Three decimals unless asked otherwise."""
    assert (decimals(None), decimals(0.12345), decimals(2, 1)) == ("none", "0.123", "2.0")
