"""TLS of a server: refused when it cannot hold, taken up again when its files change (S-1, S-11)."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from cli.main import app
from services.client.channel import Connection
from services.runtime.credentials import Certificate, CertificateFiles
from services.runtime.errors import Unavailable
from services.runtime.security import BadSecurity, ClientSecurity
from services.runtime.server import running
from services.runtime.settings import ServiceSettings

from .conftest import TEXT, shape_service, shape_stub


async def echo(request: Any, context: Any) -> TEXT:
    return request


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `atelier certificates create` makes it."""
    folder = tmp_path_factory.mktemp("certificates") / "made"
    assert CliRunner().invoke(app, ["certificates", "create", str(folder)]).exit_code == 0
    return folder


def settings(folder: Path, **others: Any) -> ServiceSettings:
    return ServiceSettings(tls_certificate=folder / "server.pem", tls_key=folder / "server.key", **others)


def trusting(folder: Path, **others: Any) -> ClientSecurity:
    return ClientSecurity(ca=(folder / "ca.pem").read_bytes(), **others)


def own_certificate(folder: Path, *, until: timedelta) -> None:
    """Write server.pem and server.key: self-signed for 127.0.0.1, good until `until` from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.key").write_bytes(pem)
    (folder / "ca.pem").write_bytes((folder / "server.pem").read_bytes())


def ask(address: str, security: ClientSecurity, text: str = "hello") -> str:
    """The echo of one call over a channel of its own."""
    connection = Connection(address, "shape", security)
    try:
        method = shape_stub(connection.channel).UnaryUnary
        return str(connection.call(method, TEXT(value=text), 1.5).value)
    finally:
        connection.close()


async def asked(address: str, security: ClientSecurity) -> str:
    return await asyncio.to_thread(ask, address, security)


@pytest.mark.slow
def test_tls_and_mutual_tls(descriptor: Any, certificates: Path) -> None:
    """A client that trusts the authority is answered; where servers ask for one, a certificate is needed
    (S-1)."""
    service = shape_service(descriptor, {"UnaryUnary": echo})
    client = {
        "certificate": (certificates / "client.pem").read_bytes(),
        "key": (certificates / "client.key").read_bytes(),
    }

    async def scenario() -> None:
        async with running(settings(certificates), service) as server:
            assert await asked(server.address, trusting(certificates)) == "hello"
            with pytest.raises(Unavailable):
                await asked(server.address, ClientSecurity())
        mutual = settings(certificates, tls_client_ca=certificates / "ca.pem")
        async with running(mutual, service) as server:
            assert await asked(server.address, trusting(certificates, **client)) == "hello"
            with pytest.raises(Unavailable):
                await asked(server.address, trusting(certificates))

    asyncio.run(scenario())


@pytest.mark.slow
def test_another_authority_is_reported_as_what_it_is(
    descriptor: Any, certificates: Path, tmp_path: Path
) -> None:
    """A client that trusts somebody else is told that the certificate does not verify (S-11)."""
    own_certificate(tmp_path, until=timedelta(days=1))

    async def scenario() -> None:
        service = shape_service(descriptor, {"UnaryUnary": echo})
        async with running(settings(certificates), service) as server:
            with pytest.raises(Unavailable, match="not trusted: unable to get local issuer certificate"):
                await asked(server.address, trusting(tmp_path))

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_certificate_that_has_run_out_is_not_trusted(tmp_path: Path) -> None:
    """A client refuses a server whose certificate expired while it ran, and says so (S-11)."""
    own_certificate(tmp_path, until=timedelta(days=-1))
    server = grpc.server(ThreadPoolExecutor(1))
    pair = ((tmp_path / "server.key").read_bytes(), (tmp_path / "server.pem").read_bytes())
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        with pytest.raises(Unavailable, match="certificate has expired"):
            ask(f"localhost:{port}", trusting(tmp_path))
    finally:
        server.stop(None).wait()


def test_a_changed_certificate_is_taken_up_without_a_restart(
    descriptor: Any, certificates: Path, tmp_path: Path
) -> None:
    """New files serve new connections at once; broken ones leave what was (S-11)."""
    for file in certificates.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    other = tmp_path / "other"
    assert CliRunner().invoke(app, ["certificates", "create", str(other)]).exit_code == 0

    async def scenario() -> None:
        service = shape_service(descriptor, {"UnaryUnary": echo})
        async with running(settings(tmp_path), service) as server:
            assert await asked(server.address, trusting(certificates)) == "hello"
            for name in ("server.key", "server.pem"):
                (other / name).replace(tmp_path / name)
            assert await asked(server.address, trusting(other)) == "hello"
            (tmp_path / "server.pem").write_text("no certificate")
            assert await asked(server.address, trusting(other)) == "hello"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "server.pem").unlink(), "ATELIER_TLS_CERTIFICATE cannot be read"),
        (lambda f: (f / "server.key").write_text("x"), "ATELIER_TLS_KEY is not a private key"),
        (lambda f: (f / "server.pem").write_text("x"), "ATELIER_TLS_CERTIFICATE holds no certificate"),
        (lambda f: (f / "client.key").replace(f / "server.key"), "ATELIER_TLS_KEY is not the key of"),
        (lambda f: own_certificate(f, until=timedelta(days=-1)), "ATELIER_TLS_CERTIFICATE expired at"),
    ],
)
def test_what_cannot_hold_is_refused_at_the_start(
    descriptor: Any, certificates: Path, tmp_path: Path, change: Any, message: str
) -> None:
    """Missing, garbled, mismatched or expired: one line that names the setting (S-11)."""
    for file in certificates.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    change(tmp_path)

    async def scenario() -> None:
        async with running(settings(tmp_path), shape_service(descriptor, {})):
            raise AssertionError

    with pytest.raises(BadSecurity, match=message):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"tls_key": Path("k")}, "go together"),
        ({"tls_client_ca": Path("c")}, "ATELIER_TLS_CLIENT_CA needs"),
    ],
)
def test_half_a_configuration_is_refused(descriptor: Any, others: dict[str, Any], message: str) -> None:
    """A key without its certificate, or an authority without either, is no TLS."""

    async def scenario() -> None:
        async with running(ServiceSettings(**others), shape_service(descriptor, {})):
            raise AssertionError

    with pytest.raises(BadSecurity, match=message):
        asyncio.run(scenario())


def test_expiry_and_staleness_are_reported(certificates: Path, tmp_path: Path) -> None:
    """The metric is the certificate's own end; changed files that are bad are counted until they are good."""
    for file in certificates.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    registry = CollectorRegistry()
    certificate = Certificate(
        CertificateFiles(certificate=tmp_path / "server.pem", key=tmp_path / "server.key")
    )
    certificate.measure(registry)
    end = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes()).not_valid_after_utc
    stale = lambda: registry.get_sample_value("atelier_tls_certificate_stale")  # noqa: E731

    assert registry.get_sample_value("atelier_tls_certificate_expiry_timestamp_seconds") == end.timestamp()
    assert stale() == 0.0
    (tmp_path / "server.pem").write_text("no certificate")
    assert certificate._changed() is None
    assert stale() == 1.0
    (tmp_path / "server.pem").write_bytes((certificates / "server.pem").read_bytes())
    assert certificate._changed() is not None
    assert stale() == 0.0


def test_a_certificate_near_its_end_is_warned_about_once_a_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start and at handshakes, so that a long-running server warns too."""
    own_certificate(tmp_path, until=timedelta(days=13))
    certificate = Certificate(
        CertificateFiles(certificate=tmp_path / "server.pem", key=tmp_path / "server.key")
    )
    certificate._changed()
    assert caplog.text.count("expires soon") == 1

    certificate._warned_at -= timedelta(days=2)
    certificate._changed()
    assert caplog.text.count("expires soon") == 2
