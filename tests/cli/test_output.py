"""What commands print."""

import json

import pytest
from atelier.ranker.v1 import ranker_pb2
from atelier.types.v1 import types_pb2

from cli.output import (
    describe_model,
    print_answer,
    print_json,
    print_line,
    print_notice,
    print_table,
    to_json,
)


def test_a_line_is_printed_letter_for_letter(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are text, and a line longer than any terminal stays one line, so that paths can be copied."""
    line = "/a/[red]folder[/red]/" + "x" * 500

    print_line(line)

    assert capsys.readouterr().out == line + "\n"


def test_a_table_keeps_brackets_and_aligns_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """A column that starts with # is right-aligned and loses the sign; cells are text, not markup."""
    print_table("title", ("name", "#count"), [("[bold]a[/bold]", 7), ("b", 1000)])

    title, *lines = capsys.readouterr().out.splitlines()
    assert title.strip() == "title"
    assert "#" not in "".join(lines)
    assert "│ [bold]a[/bold] │     7 │" in lines
    assert "│ b              │  1000 │" in lines


def test_json_keeps_every_letter(capsys: pytest.CaptureFixture[str]) -> None:
    """Hangul is printed as it is; the whole output is one document."""
    print_json({"category": "스커트"})

    out = capsys.readouterr().out
    assert "스커트" in out
    assert json.loads(out) == {"category": "스커트"}


def test_a_message_has_the_names_of_its_proto() -> None:
    """Field names are those of the protos, and a field of value zero is there."""
    body = to_json(ranker_pb2.RankResponse(tie_margin=0.5))

    assert body["tie_margin"] == 0.5
    assert body["placements"] == []
    assert body["uncertainty_weight"] == 0


def test_an_answer_is_json_or_what_its_command_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """Messages in an answer are JSON as well; for people the command's own function prints the answer."""
    answer = [types_pb2.ModelIdentity(name="artwork-head", trained=True)]

    print_answer(answer, lambda models: print_line(models[0].name), as_json=False)
    shown = capsys.readouterr().out
    print_answer(answer, lambda models: print_line(models[0].name), as_json=True)

    assert shown == "artwork-head\n"
    assert json.loads(capsys.readouterr().out)[0]["trained"] is True


def test_a_notice_leaves_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said beside an answer goes to stderr, so that JSON on stdout stays one document."""
    print_notice("was trained on these")

    assert capsys.readouterr() == ("", "was trained on these\n")


@pytest.mark.parametrize(("trained", "suffix"), [(True, ""), (False, " (untrained)")])
def test_a_model_is_described_in_a_line(trained: bool, suffix: str) -> None:
    """Name, version, the first twelve digits of the digest, and a warning for random weights."""
    model = types_pb2.ModelIdentity(
        name="artwork-head", version=3, digest="0123456789abcdef", trained=trained
    )

    assert describe_model(model) == f"artwork-head/3 0123456789ab{suffix}"
