"""Pictures from web addresses: from allowed hosts alone, bounded, checked at every step (S-5)."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.catalog import downloads
from cli.catalog.downloads import DownloadRules, RefusedDownload, download, download_all

Answer = Callable[[BaseHTTPRequestHandler], None]


class Shop:
    """A web server in this process: answers by path, and the paths that it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.asked.append(self.path)
                shop.answers[self.path](self)

            def log_message(self, *_args: object) -> None:
                """Discard the line."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.rules = DownloadRules(hosts=frozenset({self.host}))
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def put(self, path: str, content: bytes = b"", status: int = 200, **headers: str) -> str:
        """Answer a path; returns its address."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)

        self.answers[path] = answer
        return f"http://{self.host}{path}"

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    served = Shop()
    yield served
    served.close()


def test_a_picture_is_downloaded_once(shop: Shop, tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    """Its bytes are kept under a name of their address; a second import downloads nothing unless asked to."""
    url = shop.put("/a.jpg?size=1", jpeg())
    (path,) = download_all([url, url], tmp_path, shop.rules).values()
    (again,) = download_all([url], tmp_path, shop.rules).values()

    assert isinstance(path, Path)
    assert path.read_bytes() == jpeg()
    assert (again, path.suffix, path.parent, shop.asked) == (path, ".jpg", tmp_path, ["/a.jpg?size=1"])
    download_all([url], tmp_path, shop.rules, again=True)
    assert len(shop.asked) == 2


def test_a_picture_of_another_format_replaces_the_one_before(
    shop: Shop, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """What was downloaded again is what later imports take."""
    url = shop.put("/a", jpeg())
    download_all([url], tmp_path, shop.rules)
    shop.put("/a", b"\x89PNG\r\n\x1a\n")
    download_all([url], tmp_path, shop.rules, again=True)
    (path,) = download_all([url], tmp_path, shop.rules).values()

    assert isinstance(path, Path)
    assert path.suffix == ".png"


def test_what_is_kept_still_has_to_be_allowed(shop: Shop, tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    """A host that is no longer on the list is refused, also for a picture that is on disk."""
    url = shop.put("/a.jpg", jpeg())
    download_all([url], tmp_path, shop.rules)
    (refused,) = download_all([url], tmp_path, DownloadRules()).values()

    assert isinstance(refused, RefusedDownload)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://other.shop.kr/a.jpg", "the host other.shop.kr is not allowed: --allow-host other.shop.kr"),
        ("https://cdn.shop.kr:8443/a.jpg", "the host cdn.shop.kr:8443 is not allowed"),
        ("https://cdn.shop.kr.evil.com/a.jpg", "is not allowed"),
        ("http://cdn.shop.kr/a.jpg", "is not encrypted"),
        ("https://me:secret@cdn.shop.kr/a.jpg", "a user or a password"),
        ("https://cdn.shop.kr@evil.com/a.jpg", "a user or a password"),
        ("file:///etc/passwd", "is no web address"),
        ("https:///a.jpg", "is no web address"),
        ("https://cdn.shop.kr:99999/a.jpg", "is no web address"),
        ("https://cdn.shop.kr/a\r\nX: y", "is no web address"),
        ("https://cdn.shop.kr/한.jpg", "is no web address"),
        ("https://[::1/a.jpg", "is no web address"),
    ],
)
def test_an_address_is_checked_before_it_is_asked(
    url: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only https, only named hosts and ports, no credentials; no name is even resolved. (S-5)"""
    monkeypatch.setattr(socket, "getaddrinfo", pytest.fail)

    with pytest.raises(RefusedDownload, match=why.replace(".", r"\.")):
        download(url, DownloadRules(hosts=frozenset({"cdn.shop.kr"})))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1",
     "fe80::1%1", "fc00::1", "::ffff:10.0.0.1"],
)  # fmt: skip
def test_a_name_for_a_private_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is on the list and resolves into the own network is not asked. (S-5)"""
    entries = [(0, 0, 0, "", ("8.8.8.8", 443)), (0, 0, 0, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: entries)
    monkeypatch.setattr(socket, "create_connection", pytest.fail)

    with pytest.raises(RefusedDownload, match="is not public: --allow-private"):
        download("https://cdn.shop.kr/a.jpg", DownloadRules(hosts=frozenset({"cdn.shop.kr"})))


def test_the_address_that_was_checked_is_asked_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the resolved address, and its certificate must be of the host."""
    entries = [(0, 0, 0, "", ("8.8.8.8", 443))]
    connected, names = [], []

    def wrap(_self: ssl.SSLContext, sock: socket.socket, server_hostname: str) -> socket.socket:
        names.append(server_hostname)
        raise ssl.SSLCertVerificationError("wrong host")

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: entries)
    monkeypatch.setattr(socket, "create_connection", lambda place, _timeout: connected.append(place))
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)

    with pytest.raises(RefusedDownload, match="wrong host"):
        download("https://cdn.shop.kr/a.jpg", DownloadRules(hosts=frozenset({"cdn.shop.kr"})))
    assert (connected, names) == ([("8.8.8.8", 443)], ["cdn.shop.kr"])


def test_a_redirect_is_followed_within_the_list(shop: Shop, jpeg: Callable[..., bytes]) -> None:
    """A redirect, relative or not, leads to a picture of an allowed host."""
    shop.put("/b.jpg", jpeg())
    url = shop.put("/a.jpg", status=302, Location="/b.jpg")

    assert download(url, shop.rules) == jpeg()


@pytest.mark.parametrize(
    "target",
    ["https://evil.com/a.jpg", "http://169.254.169.254/meta", "file:///etc/passwd", "http://[", "//[x"],
)
def test_a_redirect_off_the_list_is_refused(shop: Shop, target: str) -> None:
    """A redirect to another host is checked like an address of the table. (S-5)"""
    url = shop.put("/a.jpg", status=302, Location=target)

    with pytest.raises(RefusedDownload):
        download(url, shop.rules)
    assert shop.asked == ["/a.jpg"]


def test_redirects_end(shop: Shop) -> None:
    """A circle of redirects is given up."""
    url = shop.put("/a.jpg", status=301, Location="/a.jpg")

    with pytest.raises(RefusedDownload, match="more than 3 redirects"):
        download(url, shop.rules)


def test_a_large_answer_is_cut(shop: Shop) -> None:
    """What is longer than a picture may be is not read to its end. (S-5)"""
    url = shop.put("/a.jpg", b"\xff\xd8\xff" + bytes(300_000))
    rules = DownloadRules(hosts=shop.rules.hosts, byte_count=100_000)

    with pytest.raises(RefusedDownload, match="larger than 100000 bytes"):
        download(url, rules)


def test_an_answer_that_is_cut_off_is_not_kept(
    shop: Shop, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """A connection that ends early leaves no half of a picture, which every later import would take."""
    url = shop.put("/a.jpg", jpeg(), **{"Content-Length": "1000000"})
    (result,) = download_all([url], tmp_path, shop.rules).values()

    assert str(result) == f"the answer ended after {len(jpeg())} of 1000000 bytes"
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_takes_too_long_is_given_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that sends a byte now and then does not hold an import up for hours."""
    url = shop.put("/a.jpg", b"\xff\xd8\xff")
    monkeypatch.setattr(downloads, "_LONGEST_S", -1.0)

    with pytest.raises(RefusedDownload, match="took longer than"):
        download(url, shop.rules)


def test_what_is_no_picture_is_not_kept(shop: Shop, tmp_path: Path) -> None:
    """A page in the place of a picture, or an error, is named; nothing is written."""
    page, webp = shop.put("/page", b"<html>"), shop.put("/webp", b"RIFF0000WAVE")
    missing = shop.put("/missing", b"\xff\xd8\xff", status=404)
    results = download_all([page, webp, missing], tmp_path, shop.rules)

    assert [str(results[url]) for url in (page, webp)] == ["the answer is no JPEG, PNG or WEBP"] * 2
    assert str(results[missing]) == "127.0.0.1 answers 404 Not Found"
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is a line with the host, not a trace; a slow one ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(downloads, "_PATIENCE_S", 0.05)
        with pytest.raises(RefusedDownload, match=r"127\.0\.0\.1 cannot be asked: timed out"):
            download(f"http://{host}/a.jpg", DownloadRules(hosts=frozenset({host})))

    with pytest.raises(RefusedDownload, match="cannot be asked"):
        download(f"http://{host}/a.jpg", DownloadRules(hosts=frozenset({host})))
