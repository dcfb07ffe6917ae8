"""The security of a client: the authorities it trusts, its certificate and its token (S-11).

The server's side is in credentials.py and authorization.py.
"""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_LOOPBACK_FORM: Final = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\]|::1)(:\d+)?", re.ASCII)


class BadSecurity(Exception):
    """These settings cannot make or accept a connection; the message names the setting and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecurity:
    """How a client connects; by default in plaintext without a token, as within one machine.

    ca: certificates, in PEM, of the authorities that may sign a server's certificate; if set, TLS is used.
    certificate, key: this client's own, in PEM, for servers that ask for one; both or neither.
    token: sent with each call; in plaintext only to loopback, unless `plaintext_token`.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    plaintext_token: bool = False

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def check(self, address: str) -> None:
        """Raises BadSecurity: if the token would cross a network in plaintext."""
        if self.ca is None and self.token and not (self.plaintext_token or is_loopback(address)):
            raise BadSecurity(
                f"a token would go to {address} in plaintext: set ATELIER_PEER_CA for TLS,"
                " or ATELIER_ALLOW_PLAINTEXT_TOKENS=true"
            )


INSECURE: Final = ClientSecurity()


class PeerSettings(BaseSettings):
    """How this process calls services: the `ATELIER_PEER_*` variables."""

    model_config = SettingsConfigDict(
        env_prefix="ATELIER_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # an error about one setting would show the token beside it
    )

    peer_ca: Path | None = None
    peer_certificate: Path | None = None
    peer_key: Path | None = None
    peer_token: SecretStr = Field(default=SecretStr(""))
    peer_token_file: Path | None = None
    allow_plaintext_tokens: bool = False

    def client_security(self) -> ClientSecurity:
        """Read the files. Raises BadSecurity: naming the setting that is missing or cannot be used."""
        if (self.peer_certificate is None) != (self.peer_key is None):
            raise BadSecurity("ATELIER_PEER_CERTIFICATE and ATELIER_PEER_KEY go together")
        if self.peer_certificate is not None and self.peer_ca is None:
            raise BadSecurity("ATELIER_PEER_CERTIFICATE needs ATELIER_PEER_CA")
        security = ClientSecurity(
            ca=_read(self.peer_ca, "ATELIER_PEER_CA"),
            certificate=_read(self.peer_certificate, "ATELIER_PEER_CERTIFICATE"),
            key=_read(self.peer_key, "ATELIER_PEER_KEY"),
            token=self._token(),
            plaintext_token=self.allow_plaintext_tokens,
        )
        self._try_files()
        return security

    def _try_files(self) -> None:
        # gRPC accepts any bytes and fails only at the first call.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.peer_ca is not None:
                context.load_verify_locations(self.peer_ca)
        except ssl.SSLError as error:
            raise BadSecurity("ATELIER_PEER_CA holds no certificate in PEM") from error
        try:
            if self.peer_certificate is not None:
                context.load_cert_chain(self.peer_certificate, self.peer_key, password=lambda: b"")
        except ssl.SSLError as error:
            raise BadSecurity(
                "ATELIER_PEER_KEY is not the key, in PEM without a password, of ATELIER_PEER_CERTIFICATE"
            ) from error

    def _token(self) -> str:
        content = _read(self.peer_token_file, "ATELIER_PEER_TOKEN_FILE")
        token = self.peer_token.get_secret_value() if content is None else content.decode("utf-8", "replace")
        if content is not None and not token.strip():
            raise BadSecurity("ATELIER_PEER_TOKEN_FILE is empty: write the token into it, or unset it")
        if not (token.isascii() and token.strip().isprintable()):
            setting = "ATELIER_PEER_TOKEN" if content is None else "ATELIER_PEER_TOKEN_FILE"
            raise BadSecurity(f"{setting} has characters that are not printable ASCII")
        return token.strip()


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address, with or without port."""
    return _LOOPBACK_FORM.fullmatch(address) is not None


def _read(path: Path | None, setting: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadSecurity(f"{setting} cannot be read: {error.strerror}") from error
