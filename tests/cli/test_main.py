"""Every command, walked as a reader of `--help` would walk them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cli.main import app

PLAIN = {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}

# A sentence of its own: a capital, at least three words, a period.
_SENTENCE = re.compile(r"[A-Z`](?:.|\n)*\s(?:.|\n)*\s(?:.|\n)*\.")
# Openings that lean on another option's help, and words of a private dialect.
_DANGLING = re.compile(r"(Its|Of|That|This|It|They)\b")
_DIALECT = re.compile(r"\b(told|tells?|not to be had|affair|nobody)\b")
# Options that do nothing when they are left out, and those that exclude one another.
_NO_DEFAULT = {"--save", "--expect", "--min-probability", "--kfashion", "--attributes"}
_NO_DEFAULT |= {"--images", "--image", "--licence", "--install-completion", "--show-completion"}


def _walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield " ".join(words), command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, (*words, name))


COMMANDS = dict(_walk(get_command(app)))
VERBS = [words for words, command in COMMANDS.items() if not hasattr(command, "commands")]


def _parameters() -> Iterator[tuple[str, Any, str]]:
    for words, command in COMMANDS.items():
        for parameter in command.params:
            yield f"{words} {parameter.opts[0]}", parameter, getattr(parameter, "help", None) or ""


def test_every_noun_and_verb_is_reached() -> None:
    """The walk sees the whole command line, so that what follows holds for all of it."""
    assert {words.split()[0] for words in VERBS} == {
        "demo", "up", "doctor", "health", "gpu", "rank", "compare", "score", "recommend", "bestsellers",
        "feedback", "trends", "samples", "catalog", "index",
        "models", "artwork", "fashion", "items", "encoders", "certificates", "tokens",
    }  # fmt: skip
    assert {"fashion tune", "models gc", "catalog import", "tokens create"} <= set(VERBS)
    assert len(list(_parameters())) > 150


def test_every_command_says_what_it_does() -> None:
    """The help of each command and of each noun is sentences in plain words."""
    wrong = {
        words: command.help
        for words, command in COMMANDS.items()
        if not _SENTENCE.fullmatch((command.help or "").strip()) or _DIALECT.search(command.help)
    }

    assert wrong == {}


def test_every_help_text_stands_alone() -> None:
    """Each option and argument is a sentence that needs no other option's help beside it."""
    wrong = {
        name: text
        for name, _, text in _parameters()
        if not _SENTENCE.fullmatch(text) or _DANGLING.match(text) or _DIALECT.search(text)
    }

    assert wrong == {}


def test_an_option_without_a_default_says_what_happens_without_it() -> None:
    """`--help` shows a default that is a value; where there is none, the sentence says what is used."""
    wrong = {
        name: text
        for name, option, text in _parameters()
        if option.param_type_name == "option"
        and option.default is None
        and not (option.required or option.multiple or option.opts[0] in _NO_DEFAULT)
        and "Default: " not in text
    }

    assert wrong == {}


@pytest.mark.parametrize("words", VERBS)
@pytest.mark.slow
def test_an_unknown_option_is_a_usage_error(runner: CliRunner, words: str) -> None:
    """It exits with 2 and one line that names the option; nothing is on stdout."""
    run = runner.invoke(app, [*words.split(), "--nonsense"], env=PLAIN)

    assert run.exit_code == 2
    assert sum("No such option: --nonsense" in line for line in run.stderr.splitlines()) == 1
    assert run.stdout == ""


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.slow
def test_help_needs_no_service_and_no_store(runner: CliRunner, words: str) -> None:
    """`--help` exits with 0 and shows how the command is typed."""
    run = runner.invoke(app, [*words.split(), "--help"], env=PLAIN)

    assert run.exit_code == 0
    assert re.search(f"Usage: .*{words}", run.stdout)


def test_a_shell_completes_nouns_and_verbs(runner: CliRunner) -> None:
    """What typer installs for a shell completes commands; it needs no service."""
    # As `--install-completion` reads it, without asking which shell runs the tests.
    script = runner.invoke(app, [], prog_name="atelier", env={"_ATELIER_COMPLETE": "source_bash"})
    words = {"COMP_WORDS": "atelier catalog im", "COMP_CWORD": "2", "_ATELIER_COMPLETE": "complete_bash"}
    run = runner.invoke(app, [], prog_name="atelier", env=words)

    assert "complete -o default -F _atelier_completion atelier" in script.stdout
    assert run.stdout.split() == ["import"]


def test_a_key_without_its_certificate_is_a_usage_error(runner: CliRunner) -> None:
    """The files of mutual TLS go together; the message names both settings (S-11)."""
    run = runner.invoke(app, ["--tls-key", "client.key", "health", "127.0.0.1:1"])

    assert run.exit_code == 2
    assert "ATELIER_PEER_CERTIFICATE and ATELIER_PEER_KEY" in run.stderr
