"""TLS and tokens: what commands show to services, and certificates and tokens to start with.

`atelier certificates create`, `atelier tokens create`, and the options `--tls-ca`, `--tls-certificate`,
`--tls-key` and `--token-file`, which precede the command.
"""

import ipaddress
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import ValidationError
from typer import Argument, Option

from cli.command import Json, command
from cli.errors import USAGE, CommandError
from cli.output import print_json, print_line, print_table, progress_console
from model_store.durable import locked, write_text
from services.runtime.authorization import BadTokenFile, digest_token, parse_grants
from services.runtime.security import ClientSecurity, PeerSettings

certificates = typer.Typer(no_args_is_help=True, help="Create certificates to try TLS with.")
tokens = typer.Typer(no_args_is_help=True, help="Create tokens that callers show to the services.")

HOSTS: Final = ("localhost", "embedder", "ranker", "recommender")
Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]

_chosen: dict[str, Path] = {}


def choose(**files: Path | None) -> None:
    """Prefer these files, by the names of `PeerSettings`, over the environment's."""
    _chosen.clear()
    _chosen.update({name: path for name, path in files.items() if path is not None})


def security() -> ClientSecurity:
    """The certificates and token of this command's clients.

    Raises CommandError: if the options contradict each other. Raises BadSecurity: if a file cannot be used.
    """
    try:
        return PeerSettings(**_chosen).client_security()  # type: ignore[arg-type]
    except ValidationError as error:
        raise CommandError(str(error.errors()[0]["msg"]), code=USAGE) from error


@certificates.callback()
@tokens.callback()
def _noun() -> None:
    """Keeps the verb a word of its own while there is only one."""


@command(tokens, "create")
def create_token(
    name: Annotated[str, Argument(help="Caller that gets the token. Log lines show this name.")],
    file: Annotated[
        Path,
        Option(help="Token file of the services. Created if missing.", envvar="ATELIER_TOKENS_FILE"),
    ],
    scope: Annotated[
        Literal["read", "write", "admin"], Option(help="Rights of the token; each includes those before it.")
    ] = "read",
    as_json: Json = False,
) -> None:
    """Create a token, add its digest to the services' file and print the token once."""
    token = secrets.token_urlsafe(32)
    _append(file, f"{name} {scope} {digest_token(token)}\n")
    if as_json:
        print_json({"name": name, "scope": scope, "token": token})
    else:
        typer.echo(token)
        progress_console.print(f"this token is shown only once; {file} keeps its digest", highlight=False)


def _append(path: Path, line: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):  # of two commands at once the second would drop the first's token
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            text = (before if not before or before.endswith("\n") else before + "\n") + line
            parse_grants(text)
            write_text(path, text, mode=0o600)
    except BadTokenFile as error:
        raise CommandError(f"{path}: {error}") from error


@command(certificates, "create")
def create_certificates(
    directory: Annotated[Path, Argument(help="Folder to write certificates and keys into.")],
    days: Annotated[int, Option(min=1, max=3650, help="Days until the certificates expire.")] = 30,
    name: Annotated[
        list[str] | None,
        Option(help=f"Further host name of the server, beside {', '.join(HOSTS)}. May be repeated."),
    ] = None,
) -> None:
    """Create an authority and certificates of a server and a client, for this machine and the compose file.

    For trying only: production certificates come from an authority of your own.
    """
    if any(directory.glob("*.key")):
        raise CommandError(f"{directory} holds keys already", "choose another folder, or remove them")
    directory.mkdir(parents=True, exist_ok=True)
    authority = _issue("Atelier trial authority", days)
    created = {
        "ca": authority,
        "server": _issue("atelier server", days, authority, hosts=(*HOSTS, *(name or ()))),
        "client": _issue("atelier client", days, authority),
    }
    for stem, (certificate, key) in created.items():
        _write_new(directory / f"{stem}.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        _write_new(directory / f"{stem}.key", _pem(key), 0o600)
    rows = [
        ("ATELIER_TLS_CERTIFICATE", directory / "server.pem"),
        ("ATELIER_TLS_KEY", directory / "server.key"),
        ("ATELIER_TLS_CLIENT_CA (mutual TLS)", directory / "ca.pem"),
        ("ATELIER_PEER_CA", directory / "ca.pem"),
        ("ATELIER_PEER_CERTIFICATE (mutual TLS)", directory / "client.pem"),
        ("ATELIER_PEER_KEY (mutual TLS)", directory / "client.key"),
    ]
    print_table("", ("setting", "file"), rows)
    print_line(f"for trying only; valid for {days} days; keep the .key files private")


def _issue(common_name: str, days: int, authority: Signed | None = None, hosts: Sequence[str] = ()) -> Signed:
    """A certificate and its key: of an authority, or, signed by one, of a server at `hosts` or a client."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), datetime.now(UTC)
    issuer, issuer_key = (authority[0].subject, authority[1]) if authority else (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not authority, path_length=None if authority else 0), True)
    )
    identifiers = (
        _leaf(issuer_key, hosts)
        if authority
        else [x509.SubjectKeyIdentifier.from_public_key(key.public_key())]
    )
    for extension in identifiers:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()), key


def _leaf(issuer_key: ec.EllipticCurvePrivateKey, hosts: Sequence[str]) -> list[x509.ExtensionType]:
    """What a server's certificate says beside its name, or a client's where there are no hosts."""
    usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    loopback = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    names = x509.SubjectAlternativeName([*map(x509.DNSName, hosts), *loopback])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return [x509.ExtendedKeyUsage([usage]), identifier, *([names] if hosts else [])]


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
