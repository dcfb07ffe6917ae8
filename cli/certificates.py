"""`atelier certificates`: certificates of one's own making, for trying TLS; never for production."""

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.errors import CommandError, reported
from cli.output import console, print_table

app = typer.Typer(no_args_is_help=True, help="Certificates for trying TLS.")

NAMES = ("localhost", "embedder", "ranker", "recommender")


@app.callback()
def _noun() -> None:
    """Keeps the verb a word of its own while there is only one."""


@app.command()
def create(
    directory: Annotated[Path, typer.Argument(help="Where the files go.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long they are good.")] = 30,
    name: Annotated[list[str] | None, typer.Option(help="A further host name; may be repeated.")] = None,
) -> None:
    """Make an authority, a server's certificate and a client's, for this machine and the compose file."""
    with reported():
        if any(directory.glob("*.key")):
            raise CommandError(f"{directory} holds keys already", "choose another folder, or remove them")
        directory.mkdir(parents=True, exist_ok=True)
        authority = _authority(days)
        hosts = (*NAMES, *(name or ()))
        made = {
            "ca": authority,
            "server": _signed("atelier server", hosts, authority, days),
            "client": _signed("atelier client", (), authority, days),
        }
        for stem, (certificate, key) in made.items():
            _write(directory / f"{stem}.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
            _write(directory / f"{stem}.key", _pem(key), 0o600)
    rows = [
        ("ATELIER_TLS_CERTIFICATE", directory / "server.pem"),
        ("ATELIER_TLS_KEY", directory / "server.key"),
        ("ATELIER_TLS_CLIENT_CA (mutual TLS)", directory / "ca.pem"),
        ("ATELIER_PEER_CA", directory / "ca.pem"),
        ("ATELIER_PEER_CERTIFICATE (mutual TLS)", directory / "client.pem"),
        ("ATELIER_PEER_KEY (mutual TLS)", directory / "client.key"),
    ]
    print_table("", ("setting", "file"), rows)
    console.print(f"for trying only; good for {days} days; keep the keys to yourself", highlight=False)


Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _authority(days: int) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("Atelier trial authority")
    builder = (
        _builder(subject, subject, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _signed(common_name: str, hosts: tuple[str, ...], authority: Signed, days: int) -> Signed:
    issuer, issuer_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_subject(common_name), issuer.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if hosts:
        loopback = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
        names = x509.SubjectAlternativeName([*map(x509.DNSName, hosts), *loopback])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
