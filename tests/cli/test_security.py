"""`atelier tokens create` and `atelier certificates create` (S-11)."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from typer.testing import CliRunner, Result

from cli.main import app
from cli.security import _append
from services.runtime.authorization import Scope, TokenFile, digest_token, parse_grants


def create(runner: CliRunner, file: Path, *words: str) -> Result:
    return runner.invoke(app, ["tokens", "create", *words, "--file", str(file)])


def test_a_token_is_shown_once_and_kept_as_its_digest(runner: CliRunner, tmp_path: Path) -> None:
    """The file is readable by its owner alone and holds no token; the token is known with its scope.

    # proves S-11"""
    file = tmp_path / "new" / "tokens"
    shop = create(runner, file, "shop", "--scope", "write").stdout.strip()
    made = json.loads(create(runner, file, "reader", "--json").stdout)

    assert shop not in file.read_text()
    assert made["token"] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    known = TokenFile(file)
    found = [known.find(token) for token in (shop, made["token"])]
    assert [(grant.name, grant.scope) for grant in found if grant] == [
        ("shop", Scope.WRITE),
        ("reader", Scope.READ),
    ]


def test_a_name_is_given_once(runner: CliRunner, tmp_path: Path) -> None:
    """A repeated or unusable name is refused in a line, shows no token and leaves the file as it was."""
    file = tmp_path / "tokens"
    create(runner, file, "shop")
    before = file.read_bytes()

    for name in ("shop", "a b", "../x", ""):
        refused = create(runner, file, name)
        assert refused.exit_code == 1
        assert refused.stdout == ""
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


def test_tokens_made_at_once_are_all_kept(tmp_path: Path) -> None:
    """Nobody is shown a token that the file then lacks."""
    file = tmp_path / "tokens"
    with ThreadPoolExecutor(8) as executor:
        lines = [f"n{number} read {digest_token(str(number))}\n" for number in range(64)]
        list(executor.map(lambda line: _append(file, line), lines))

    assert len(parse_grants(file.read_text())) == 64


def test_keys_are_never_written_over(runner: CliRunner, tmp_path: Path) -> None:
    """Certificates go into a folder without keys; keys are readable by their owner alone."""
    made = runner.invoke(app, ["certificates", "create", str(tmp_path / "c")])
    again = runner.invoke(app, ["certificates", "create", str(tmp_path / "c")])

    assert (made.exit_code, again.exit_code) == (0, 1)
    assert "holds keys already" in again.stderr
    keys = list((tmp_path / "c").glob("*.key"))
    assert len(keys) == 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
