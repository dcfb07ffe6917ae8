"""Who may call what: bearer tokens with scopes, checked before a request's body is read (S-11).

The scope that a method needs is an option of the method in its proto; a method without one needs admin.
Health is open to everybody, reflection to every token. Which methods are bulk work is an option too.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from atelier.types.v1 import access_pb2
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import CollectorRegistry

from services.runtime.errors import PermissionDenied, Unauthenticated
from services.runtime.reloaded_file import ReloadedFile
from services.runtime.security import BadSecurity, is_loopback
from services.runtime.settings import ServiceSettings

REFLECTION: Final = "/grpc.reflection."
_HEADER: Final = "authorization"
_BEARER: Final = "bearer "
_CHECK_EVERY_S: Final = 1.0
_NAME_FORM: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_DIGEST_FORM: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

_log = logging.getLogger(__name__)


class Scope(IntEnum):
    """What a token allows; each includes the ones before it."""

    READ = access_pb2.SCOPE_READ
    WRITE = access_pb2.SCOPE_WRITE
    ADMIN = access_pb2.SCOPE_ADMIN


class BadTokenFile(BadSecurity):
    """The token file cannot be used; the message names the line, never its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A known token: its name, what it allows, and the sha256 of the token itself."""

    name: str
    scope: Scope
    digest: str


def digest_token(token: str) -> str:
    """The sha256 of a token, in hex, as token files hold it."""
    return hashlib.sha256(token.encode()).hexdigest()


def parse_grants(text: str) -> tuple[Grant, ...]:
    """The grants of a token file: lines of `name scope sha256`, `#` begins a comment.

    Raises BadTokenFile: naming the line that is not a grant.
    """
    grants: list[Grant] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3 or not _NAME_FORM.fullmatch(words[0]) or not _DIGEST_FORM.fullmatch(words[2]):
            raise BadTokenFile(f"ATELIER_TOKENS_FILE: line {number} is not `name scope sha256`")
        if words[1].upper() not in Scope.__members__:
            raise BadTokenFile(
                f"ATELIER_TOKENS_FILE: line {number} has a scope other than read, write, admin"
            )
        if words[0] in {grant.name for grant in grants}:
            raise BadTokenFile(
                f"ATELIER_TOKENS_FILE: line {number} repeats the name {words[0]}; a name has one line"
            )
        grants.append(Grant(name=words[0], scope=Scope[words[1].upper()], digest=words[2]))
    return tuple(grants)


class TokenFile:
    """The grants in a file, read again when it changes; a file that turns bad leaves the grants before it.

    Raises BadTokenFile: if the file is bad to begin with.
    """

    def __init__(self, path: Path) -> None:
        self._file = ReloadedFile((path,), lambda: _read(path), check_every_s=_CHECK_EVERY_S)

    def measure(self, registry: CollectorRegistry) -> None:
        """Register whether a changed file is not used."""
        self._file.measure(
            registry, "atelier_tokens_stale", "1 while a changed file is not used because it is bad."
        )

    def find(self, token: str) -> Grant | None:
        """The grant of a token; None for an unknown token.

        Looked up by digest: a caller cannot choose part of a digest, so the time of a look-up gives nothing
        away.
        """
        if self._file.refresh():
            _log.info("tokens read again", extra={"tokens": len(self._file.value)})
        return self._file.value.get(digest_token(token))


def _read(path: Path) -> Mapping[str, Grant]:
    try:
        grants = parse_grants(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadTokenFile(f"ATELIER_TOKENS_FILE cannot be read: {type(error).__name__}") from error
    return {grant.digest: grant for grant in reversed(grants)}  # of one token twice, the first line counts


class Authorization:
    """Checks that a caller's token allows the method that it calls."""

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens
        self._needed: dict[str, Scope] = {}

    def add(self, descriptor: ServiceDescriptor) -> None:
        """Register the scopes that a service's methods need."""
        self._needed |= needed_scopes(descriptor)

    def identify(self, metadata: Mapping[str, str]) -> Grant:
        """The grant of the caller's token. Raises Unauthenticated: if there is none, or an unknown one."""
        value = metadata.get(_HEADER, "")
        if value[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated(
                "this service needs a bearer token: send the metadata `authorization: Bearer TOKEN`",
                reason="NO_TOKEN",
            )
        grant = self._tokens.find(value[len(_BEARER) :].strip())
        if grant is None:
            raise Unauthenticated("the token is unknown", reason="UNKNOWN_TOKEN")
        return grant

    def check(self, grant: Grant, method: str) -> None:
        """Raises PermissionDenied: if the scope is too small for the method at `/package.Service/Method`."""
        needed = Scope.READ if method.startswith(REFLECTION) else self._needed.get(method, Scope.ADMIN)
        if grant.scope < needed:
            raise PermissionDenied(
                f"the token allows {grant.scope.name.lower()}, this method needs {needed.name.lower()}",
                reason="SCOPE_TOO_SMALL",
            )


def open_authorization(settings: ServiceSettings, registry: CollectorRegistry) -> Authorization | None:
    """The check of tokens, if a file is set. Raises BadSecurity: if tokens would travel in plaintext."""
    if settings.tokens_file is None:
        return None
    plain = settings.tls_certificate is None and not is_loopback(settings.host)
    if plain and not settings.allow_plaintext_tokens:
        raise BadSecurity(
            f"tokens would come to {settings.host} in plaintext: set ATELIER_TLS_CERTIFICATE and"
            " ATELIER_TLS_KEY, or ATELIER_ALLOW_PLAINTEXT_TOKENS=true"
        )
    tokens = TokenFile(settings.tokens_file)
    tokens.measure(registry)
    return Authorization(tokens)


def needed_scopes(descriptor: ServiceDescriptor) -> dict[str, Scope]:
    """The scope that each method of a service needs, by `/package.Service/Method`."""
    scopes: dict[str, Scope] = {}
    for method in descriptor.methods:
        scope: int = method.GetOptions().Extensions[access_pb2.scope]  # type: ignore[index]  # stubs know no extensions
        scopes[f"/{descriptor.full_name}/{method.name}"] = Scope(scope) if scope else Scope.ADMIN
    return scopes


def bulk_methods(descriptor: ServiceDescriptor) -> set[str]:
    """The methods of a service whose every call is bulk work: marked as such, or with a stream as request."""
    return {
        f"/{descriptor.full_name}/{method.name}"
        for method in descriptor.methods
        if method.client_streaming or method.GetOptions().Extensions[access_pb2.is_bulk]  # type: ignore[index]
    }
