"""`atelier tokens create` and `atelier certificates create` (S-11)."""

import json
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from typer.testing import CliRunner, Result

from cli.errors import CommandError
from cli.main import app
from cli.security import HOSTS, _append, choose, security
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
    """A token that could not be written to the file is not printed."""
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


def test_a_bad_scope_is_a_usage_error(runner: CliRunner, tmp_path: Path) -> None:
    """The three scopes are named, and no file is made."""
    run = create(runner, tmp_path / "tokens", "shop", "--scope", "owner")

    assert run.exit_code == 2
    assert all(scope in run.stderr for scope in ("read", "write", "admin"))
    assert list(tmp_path.iterdir()) == []


def test_the_token_file_is_taken_from_the_environment(runner: CliRunner, tmp_path: Path) -> None:
    """`ATELIER_TOKENS_FILE` names the file that the services read (S-11)."""
    file = tmp_path / "tokens"

    run = runner.invoke(app, ["tokens", "create", "shop"], env={"ATELIER_TOKENS_FILE": str(file)})

    assert run.exit_code == 0, run.output
    assert [line.split()[:2] for line in file.read_text().splitlines()] == [["shop", "read"]]
    assert "shown only once" in run.stderr


def test_a_token_file_without_a_last_line_end_is_kept(tmp_path: Path) -> None:
    """A line that was written by hand and not ended does not run into the new one."""
    file = tmp_path / "tokens"
    file.write_text(f"first read {digest_token('1')}")

    _append(file, f"second read {digest_token('2')}\n")

    assert [grant.name for grant in parse_grants(file.read_text())] == ["first", "second"]


def test_a_damaged_token_file_is_named_and_kept(runner: CliRunner, tmp_path: Path) -> None:
    """The message names file and line; nothing is written over."""
    file = tmp_path / "tokens"
    file.write_text("no grant at all\n")

    run = create(runner, file, "shop")

    assert run.exit_code == 1
    assert run.stderr.startswith(f"error: {file}: ")
    assert file.read_text() == "no grant at all\n"


def test_a_token_file_that_is_a_folder_is_one_line(runner: CliRunner, tmp_path: Path) -> None:
    """An error of the operating system names the path, and no token is printed."""
    run = create(runner, tmp_path, "shop")

    assert run.exit_code == 1
    assert run.stderr.startswith(f"error: {tmp_path}")
    assert run.stdout == ""


def test_certificates_hold_for_the_hosts_that_clients_call(runner: CliRunner, tmp_path: Path) -> None:
    """The server's names are those of the compose file, loopback and every --name; both are signed by the
    authority, each for its own purpose, for the days that were asked for (S-11)."""
    words = ["certificates", "create", str(tmp_path), "--days", "3", "--name", "shop.example"]

    run = runner.invoke(app, words)

    assert run.exit_code == 0, run.output
    assert "valid for 3 days" in run.stdout
    ca, server, client = (
        x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes())
        for name in ("ca", "server", "client")
    )
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [*HOSTS, "shop.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    usages = [
        each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value for each in (server, client)
    ]
    assert [list(usage) for usage in usages] == [
        [ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH],
    ]  # fmt: skip
    for certificate in (server, client):
        certificate.verify_directly_issued_by(ca)
        assert 3 <= (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days <= 4
    ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))


def test_chosen_files_win_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--token-file` replaces ATELIER_PEER_TOKEN_FILE; without it the environment's is read."""
    for name in ("environment", "chosen"):
        (tmp_path / name).write_text(f"token-of-{name}\n")
    monkeypatch.setenv("ATELIER_PEER_TOKEN_FILE", str(tmp_path / "environment"))
    monkeypatch.setenv("ATELIER_ALLOW_PLAINTEXT_TOKENS", "true")
    try:
        choose()
        assert security().token == "token-of-environment"
        choose(peer_token_file=tmp_path / "chosen", peer_ca=None)
        assert security().token == "token-of-chosen"
    finally:
        choose()


def test_a_setting_that_cannot_be_read_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad value in the environment ends the command with 2, and is not repeated in the message."""
    monkeypatch.setenv("ATELIER_ALLOW_PLAINTEXT_TOKENS", "perhaps-my-secret")

    with pytest.raises(CommandError) as caught:
        security()

    assert caught.value.code == 2
    assert "perhaps-my-secret" not in str(caught.value)
