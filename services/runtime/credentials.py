"""TLS of a server: its certificate, read again when the files change (S-1, S-11)."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from prometheus_client import CollectorRegistry, Gauge

from services.runtime.reloaded_file import ReloadedFile
from services.runtime.security import BadSecurity
from services.runtime.settings import ServiceSettings

_SOON: Final = timedelta(days=14)
_WARN_EVERY: Final = timedelta(days=1)

_log = logging.getLogger(__name__)


class BadCertificate(BadSecurity):
    """These files cannot serve TLS; the message names the setting and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where a server's certificate chain, its key and, for mutual TLS, the authority of its callers are."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expires_at: datetime


class Certificate:
    """A valid certificate and its successors.

    Raises BadCertificate: if it is missing, unreadable, expired, or not that of the key.
    """

    def __init__(self, files: CertificateFiles) -> None:
        paths = [path for path in (files.certificate, files.key, files.client_ca) if path is not None]
        self._file = ReloadedFile(paths, lambda: _read(files))
        self._warned_at = datetime.min.replace(tzinfo=UTC)
        self._warn_of_expiry()

    def measure(self, registry: CollectorRegistry) -> None:
        """Register when the certificate in use expires, and whether changed files are not used."""
        Gauge(
            "atelier_tls_certificate_expiry_timestamp_seconds",
            "When the certificate in use expires, in seconds since 1970.",
            registry=registry,
        ).set_function(lambda: self.expires_at.timestamp())
        self._file.measure(
            registry,
            "atelier_tls_certificate_stale",
            "1 while changed files are not used because they are bad.",
        )

    @property
    def expires_at(self) -> datetime:
        """When the certificate in use expires."""
        return self._file.value.expires_at

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials to open a port with; each handshake uses the files as they then are."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._changed,  # type: ignore[arg-type]  # None means "as before", which the stubs do not know
            require_client_authentication=bool(self._file.value.client_ca),
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = self._file.value
        return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)], pair.client_ca)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The configuration if the files changed and are good; gRPC asks at each handshake."""
        changed = self._file.refresh()
        if changed:
            _log.info("certificate read again", extra={"expires_at": self.expires_at.isoformat()})
        self._warn_of_expiry()
        return self._configuration() if changed else None

    def _warn_of_expiry(self) -> None:
        now = datetime.now(UTC)
        if self.expires_at - now < _SOON and now - self._warned_at > _WARN_EVERY:
            self._warned_at = now
            _log.warning("the certificate expires soon", extra={"expires_at": self.expires_at.isoformat()})


def open_certificate(settings: ServiceSettings, registry: CollectorRegistry) -> Certificate | None:
    """The certificate to serve with; None for plaintext. Raises BadSecurity: naming the wrong setting."""
    if settings.tls_certificate is None and settings.tls_key is None:
        if settings.tls_client_ca is not None:
            raise BadSecurity("ATELIER_TLS_CLIENT_CA needs ATELIER_TLS_CERTIFICATE and ATELIER_TLS_KEY")
        return None
    if settings.tls_certificate is None or settings.tls_key is None:
        raise BadSecurity("ATELIER_TLS_CERTIFICATE and ATELIER_TLS_KEY go together")
    files = CertificateFiles(
        certificate=settings.tls_certificate, key=settings.tls_key, client_ca=settings.tls_client_ca
    )
    certificate = Certificate(files)
    certificate.measure(registry)
    return certificate


def _read(files: CertificateFiles) -> _Pair:
    certificate = _bytes(files.certificate, "ATELIER_TLS_CERTIFICATE")
    key = _bytes(files.key, "ATELIER_TLS_KEY")
    client_ca = None if files.client_ca is None else _bytes(files.client_ca, "ATELIER_TLS_CLIENT_CA")
    leaf = _certificates(certificate, "ATELIER_TLS_CERTIFICATE")[0]
    if client_ca is not None:
        _certificates(client_ca, "ATELIER_TLS_CLIENT_CA")
    try:
        public = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError) as error:
        raise BadCertificate("ATELIER_TLS_KEY is not a private key in PEM without a password") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise BadCertificate("ATELIER_TLS_KEY is not the key of ATELIER_TLS_CERTIFICATE")
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc <= now:
        raise BadCertificate(f"ATELIER_TLS_CERTIFICATE expired at {leaf.not_valid_after_utc.isoformat()}")
    if leaf.not_valid_before_utc > now:
        raise BadCertificate(
            f"ATELIER_TLS_CERTIFICATE is valid only from {leaf.not_valid_before_utc.isoformat()}"
        )
    return _Pair(certificate=certificate, key=key, client_ca=client_ca, expires_at=leaf.not_valid_after_utc)


def _bytes(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCertificate(f"{setting} cannot be read: {error.strerror}") from error


def _certificates(data: bytes, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise BadCertificate(f"{setting} holds no certificate in PEM") from error
