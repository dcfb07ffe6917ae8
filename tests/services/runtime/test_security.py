"""What a caller brings to a service, as its settings tell it (S-11)."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from cli.main import app
from services.runtime.security import BadSecurity, PeerSettings
from services.runtime.settings import ServiceSettings


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates") / "made"
    assert CliRunner().invoke(app, ["certificates", "create", str(folder)]).exit_code == 0
    return folder


def test_a_bad_setting_tells_nothing_of_the_token_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the error about another setting nor the settings' own text holds the token (S-11)."""
    monkeypatch.setenv("ATELIER_PEER_TOKEN", "very-secret")
    assert "very-secret" not in repr(ServiceSettings())

    monkeypatch.setenv("ATELIER_POLL_S", "often")
    with pytest.raises(ValidationError) as caught:
        ServiceSettings()
    assert "very-secret" not in f"{caught.value!r}{caught.value}"
    assert "often" not in str(caught.value)


def test_files_make_what_a_client_brings(certificates: Path, tmp_path: Path) -> None:
    """The token of a file loses its line end; a file is preferred to the variable."""
    (tmp_path / "token").write_text("abc\n")
    made = PeerSettings(
        peer_ca=certificates / "ca.pem",
        peer_certificate=certificates / "client.pem",
        peer_key=certificates / "client.key",
        peer_token_file=tmp_path / "token",
    ).client_security()

    assert made.metadata == (("authorization", "Bearer abc"),)
    assert made.ca == (certificates / "ca.pem").read_bytes()
    assert "abc" not in repr(made)
    assert "PRIVATE" not in repr(made)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"peer_key": "client.key"}, "ATELIER_PEER_CERTIFICATE and ATELIER_PEER_KEY go together"),
        (
            {"peer_certificate": "client.pem", "peer_key": "client.key"},
            "ATELIER_PEER_CERTIFICATE needs ATELIER_PEER_CA",
        ),
        ({"peer_ca": "nothing.pem"}, "ATELIER_PEER_CA cannot be read"),
        ({"peer_ca": "client.key"}, "ATELIER_PEER_CA holds no certificate"),
        (
            {"peer_ca": "ca.pem", "peer_certificate": "client.pem", "peer_key": "server.key"},
            "ATELIER_PEER_KEY is not the key",
        ),
        ({"peer_token_file": "empty"}, "ATELIER_PEER_TOKEN_FILE is empty"),
        ({"peer_token_file": "binary"}, "not printable ASCII"),
    ],
)
def test_what_cannot_be_used_is_named(certificates: Path, files: dict[str, str], message: str) -> None:
    """One line that names the setting, before any call is tried (S-11)."""
    (certificates / "empty").write_text("\n")
    (certificates / "binary").write_bytes(b"\xff\xfe")

    with pytest.raises(BadSecurity, match=message):
        PeerSettings(**{name: certificates / file for name, file in files.items()}).client_security()
