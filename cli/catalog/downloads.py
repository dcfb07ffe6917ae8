"""Pictures of a table from web addresses: from named hosts alone, bounded, checked before a byte is sent.

A host has to be named by the caller. Its addresses are resolved here and connected to as resolved, so that a
name cannot mean another machine between the check and the connection. Redirects are checked like the address
that a table names. Proxies of the environment are not used.
"""

import hashlib
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from inference.pixels import DEFAULT_LIMITS
from model_store.durable import write_bytes

SCHEMES: Final = ("http://", "https://")
_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 3
_PATIENCE_S: Final = 20.0  # for a connection, and for each piece of an answer
_LONGEST_S: Final = 120.0  # for the whole of an answer
_AT_ONCE: Final = 8
_PIECE: Final = 1 << 16
# How the pictures that the services decode begin.
_SIGNS: Final = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png", b"RIFF": ".webp"}


class RefusedDownload(Exception):
    """A picture cannot be had from its address, or must not be; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRules:
    """From where pictures may come. hosts: as in `cdn.shop.kr` or `cdn.shop.kr:8443`.

    private: whether a host may have an address that is not public, as inside a company.
    byte_count: of one picture, at most.
    """

    hosts: frozenset[str] = frozenset()
    private: bool = False
    byte_count: int = DEFAULT_LIMITS.byte_count


def download_all(
    urls: Iterable[str], folder: Path, rules: DownloadRules, *, again: bool = False
) -> Mapping[str, Path | RefusedDownload]:
    """The file of each picture in `folder`, or why there is none; eight at once.

    again: download also what was downloaded before. Raises OSError: if a file cannot be written.
    """
    unique = list(dict.fromkeys(urls))

    def fetch(url: str) -> Path | RefusedDownload:
        try:
            return _keep(url, folder, rules, again=again)
        except RefusedDownload as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE, "download") as pool:
        return dict(zip(unique, pool.map(fetch, unique), strict=True))


def download(url: str, rules: DownloadRules) -> bytes:
    """The bytes of a picture. Raises RefusedDownload."""
    for _ in range(_MOST_REDIRECTS + 1):
        answer = _get(url, rules)
        if isinstance(answer, bytes):
            return answer
        try:
            url = urljoin(url, answer)
        except ValueError as error:
            raise RefusedDownload(f"a redirect to {answer[:100]!r}, which is no web address") from error
    raise RefusedDownload(f"more than {_MOST_REDIRECTS} redirects")


def _keep(url: str, folder: Path, rules: DownloadRules, *, again: bool) -> Path:
    # What is on disk came from an address that an earlier list of hosts may have allowed.
    _check(url, rules)
    stem = hashlib.sha256(url.encode()).hexdigest()
    kept = (folder / f"{stem}{suffix}" for suffix in _SIGNS.values())
    present = None if again else next((path for path in kept if path.is_file()), None)
    if present is not None:
        return present
    content = download(url, rules)
    suffix = next((end for sign, end in _SIGNS.items() if content.startswith(sign)), "")
    if not suffix or (suffix == ".webp" and content[8:12] != b"WEBP"):
        raise RefusedDownload("the answer is no JPEG, PNG or WEBP")
    write_bytes(folder / f"{stem}{suffix}", content, sync=False)
    for other in _SIGNS.values():
        if other != suffix:
            (folder / f"{stem}{other}").unlink(missing_ok=True)  # the picture before, of another format
    return folder / f"{stem}{suffix}"


def _check(url: str, rules: DownloadRules) -> SplitResult:
    """The parts of an address that may be asked. Raises RefusedDownload."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RefusedDownload(f"{url[:100]!r} is no web address") from error
    host = (parts.hostname or "").lower()
    if parts.scheme not in _PORTS or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise RefusedDownload(f"{url[:100]!r} is no web address")
    if parts.username is not None or parts.password is not None:
        raise RefusedDownload("an address with a user or a password is not asked")
    named = host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
    if named not in rules.hosts:
        raise RefusedDownload(f"the host {named} is not allowed: --allow-host {named}")
    if parts.scheme == "http" and not _is_loopback(host):
        raise RefusedDownload(f"http:// to {host} is not encrypted: write https://")
    return parts


def _get(url: str, rules: DownloadRules) -> bytes | str:
    """The answer, or where it is. Raises RefusedDownload."""
    parts = _check(url, rules)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    address = _resolve(host, port, rules)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        with closing(_Connection(host, port, address, secure=parts.scheme == "https")) as connection:
            connection.request("GET", target or "/", headers={"Accept": "image/*", "User-Agent": "atelier"})
            with connection.getresponse() as response:
                location = response.getheader("Location")
                if response.status in _REDIRECTS and location:
                    return location
                if response.status != HTTPStatus.OK:
                    raise RefusedDownload(f"{host} answers {response.status} {response.reason}")
                return _body(response, rules.byte_count)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RefusedDownload(f"{host} cannot be asked: {error}") from error


def _body(response: http.client.HTTPResponse, most: int) -> bytes:
    """The whole body. Raises RefusedDownload: if it is too large, takes too long or is cut off."""
    pieces, count, length = [], 0, response.length
    end = time.monotonic() + _LONGEST_S
    while (length is None or count < length) and (piece := response.read1(_PIECE)):
        count += len(piece)
        if count > most:
            raise RefusedDownload(f"the answer is larger than {most} bytes")
        if time.monotonic() > end:
            raise RefusedDownload(f"the answer took longer than {_LONGEST_S:g} s")
        pieces.append(piece)
    if length is not None and count < length:
        raise RefusedDownload(f"the answer ended after {count} of {length} bytes")
    return b"".join(pieces)


def _resolve(host: str, port: int, rules: DownloadRules) -> str:
    """The address to connect to; each address of the host has to be allowed. Raises RefusedDownload."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RefusedDownload(f"{host} has no address: {error}") from error
    addresses = [str(entry[4][0]) for entry in entries]
    if not rules.private and not _is_loopback(host):
        hidden = next((each for each in addresses if not _is_public(each)), None)
        if hidden is not None:
            raise RefusedDownload(f"{host} is at {hidden}, which is not public: --allow-private")
    return addresses[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_global and not (mapped or parsed).is_multicast


def _is_loopback(host: str) -> bool:
    """Whether an address names this machine itself; a name that only resolves to it does not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked, under the name of its host."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=_PATIENCE_S)
        self._address, self._secure = address, secure
        self.default_port = _PORTS["https" if secure else "http"]

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
