"""The whole house over mutual TLS with tokens: who gets in, who may write, and what is never told (S-11)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2
from typer.testing import CliRunner

from cli.main import app
from services.client.ranker import RankerClient, picture
from services.client.recommender import RecommenderClient
from services.runtime.errors import PermissionDenied, Unauthenticated, Unavailable
from services.runtime.security import ClientSecurity
from tests.integration.conftest import ROOT, drawing
from tests.integration.row import FULL_NAMES, Row

pytestmark = pytest.mark.slow

SCOPES = {"services": "read", "visitor": "read", "shop": "write", "operator": "admin"}


class Secured:
    """Running services, the folder of their certificates, and a token for each name in SCOPES."""

    def __init__(self, row: Row, folder: Path, tokens: dict[str, str]) -> None:
        self.row, self.folder, self.tokens = row, folder, tokens

    def security(self, name: str = "") -> ClientSecurity:
        """A client with a certificate, and the token of `name`."""
        return ClientSecurity(
            ca=(self.folder / "ca.pem").read_bytes(),
            certificate=(self.folder / "client.pem").read_bytes(),
            key=(self.folder / "client.key").read_bytes(),
            token=self.tokens[name] if name else "",
        )

    def shop(self, security: ClientSecurity) -> RecommenderClient:
        return RecommenderClient(self.row.addresses["recommender"], security=security)

    def ranker(self, security: ClientSecurity) -> RankerClient:
        return RankerClient(self.row.addresses["ranker"], security=security)


@pytest.fixture(scope="module")
def secured(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    data = tmp_path_factory.mktemp("secured")
    folder, file = data / "certificates", data / "tokens"
    assert CliRunner().invoke(app, ["certificates", "create", str(folder)]).exit_code == 0
    tokens = {name: create_token(name, scope, file) for name, scope in SCOPES.items()}
    (data / "token").write_text(tokens["services"] + "\n")
    environment = {
        "ATELIER_TLS_CERTIFICATE": str(folder / "server.pem"),
        "ATELIER_TLS_KEY": str(folder / "server.key"),
        "ATELIER_TLS_CLIENT_CA": str(folder / "ca.pem"),
        "ATELIER_TOKENS_FILE": str(file),
        "ATELIER_PEER_CA": str(folder / "ca.pem"),
        "ATELIER_PEER_CERTIFICATE": str(folder / "client.pem"),
        "ATELIER_PEER_KEY": str(folder / "client.key"),
        "ATELIER_PEER_TOKEN_FILE": str(data / "token"),
    }
    made = Secured(Row(published, data), folder, tokens)
    made.row = Row(published, data / "row", environment, made.security())
    try:
        for name in FULL_NAMES:
            made.row.start(name)
        for name in FULL_NAMES:
            made.row.await_serving(name)  # health is open: without a token
        yield made
    finally:
        made.row.close()


def create_token(name: str, scope: str, file: Path) -> str:
    made = CliRunner().invoke(app, ["tokens", "create", name, "--scope", scope, "--file", str(file)])
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def garment(item_id: str) -> catalog_pb2.UpsertItem:
    return catalog_pb2.UpsertItem(item_id=item_id, image=drawing(hash(item_id) % 1_000))


def test_each_scope_does_what_it_allows_and_no_more(secured: Secured) -> None:
    """Read ranks and recommends, write upserts as well, admin rebuilds as well (S-11)."""
    pictures = [picture(drawing(1)), picture(drawing(2))]
    with secured.ranker(secured.security("visitor")) as ranker:
        assert len(ranker.rank(pictures).placements) == 2
    with secured.shop(secured.security("shop")) as shop:
        shop.upsert_items([garment("a"), garment("b")])
        with pytest.raises(PermissionDenied, match="allows write, this method needs admin"):
            shop.rebuild()
    with secured.shop(secured.security("visitor")) as shop:
        found = shop.recommend(recommender_pb2.RecommendRequest(image=drawing(3)))
        assert len(found.recommendations) == 2
        with pytest.raises(PermissionDenied, match="allows read, this method needs write"):
            shop.upsert_items([garment("c")])
        with pytest.raises(PermissionDenied):
            shop.delete_items(["a"])
        assert {item.item_id for item in shop.list_items()} == {"a", "b"}
    with secured.shop(secured.security("operator")) as shop:
        shop.rebuild()


def test_without_a_token_or_a_certificate_nobody_gets_in(secured: Secured) -> None:
    """No token and a wrong one are UNAUTHENTICATED; no certificate is not even connected (S-11)."""
    pictures = [picture(drawing(1)), picture(drawing(2))]
    for security in (secured.security(), replace(secured.security(), token="guessed")):
        with secured.ranker(security) as ranker, pytest.raises(Unauthenticated):
            ranker.rank(pictures)
    for security in (
        replace(secured.security("visitor"), certificate=None, key=None),
        ClientSecurity(token=secured.tokens["visitor"]),
    ):
        with secured.ranker(security) as ranker, pytest.raises(Unavailable):
            ranker.rank(pictures, deadline_s=2.0)


def test_the_command_line_brings_certificate_and_token(secured: Secured, tmp_path: Path) -> None:
    """`atelier --tls-ca … --token-file … health | catalog list`, and one line where the token is missing."""
    (tmp_path / "token").write_text(secured.tokens["visitor"])
    tls = ["--tls-ca", secured.folder / "ca.pem", "--tls-certificate", secured.folder / "client.pem"]
    words = [sys.executable, "-m", "cli.main", *tls, "--tls-key", secured.folder / "client.key"]
    address = secured.row.addresses["recommender"]
    run = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 60}

    healthy = subprocess.run([*words, "health", address], **run)  # type: ignore[call-overload]
    asked = [*words, "--token-file", tmp_path / "token", "catalog", "list", "--address", address]
    listed = subprocess.run(asked, **run)  # type: ignore[call-overload]
    refused = subprocess.run([*words, "catalog", "list", "--address", address], **run)  # type: ignore[call-overload]

    assert (healthy.returncode, listed.returncode, refused.returncode) == (0, 0, 1)
    assert "needs a bearer token" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_no_token_is_ever_logged(secured: Secured) -> None:
    """Log lines carry the token's name; neither the token nor its digest is in any log or command line."""
    logs = "".join(secured.row.log(name) for name in FULL_NAMES)
    command_lines = [path.read_text() for path in Path("/proc").glob("[0-9]*/cmdline")]

    assert '"caller": "services"' in secured.row.log("embedder")
    assert '"caller": "visitor"' in secured.row.log("ranker")
    for token in secured.tokens.values():
        assert token not in logs
        assert not any(token in line for line in command_lines)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ATELIER_TLS_CERTIFICATE", "missing.pem", "ATELIER_TLS_CERTIFICATE and ATELIER_TLS_KEY go together"),
        ("ATELIER_TOKENS_FILE", "missing", "ATELIER_TOKENS_FILE cannot be read"),
        ("ATELIER_PEER_CA", "missing.pem", "ATELIER_PEER_CA cannot be read"),
    ],
)
def test_a_service_that_cannot_be_secured_does_not_start(
    published: Path, tmp_path: Path, name: str, value: str, message: str
) -> None:
    """One line that names the setting, exit code 1, no trace (S-11)."""
    environment = {
        **os.environ,
        "ATELIER_STORE": str(published),
        "ATELIER_CACHE": str(tmp_path),
        "ATELIER_RANKER_PORT": "0",
        "ATELIER_RANKER_METRICS_PORT": "-1",
        name: value,
    }
    run = subprocess.run(
        [sys.executable, "-m", "services.ranker"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr
