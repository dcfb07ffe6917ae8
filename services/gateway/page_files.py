"""The page and the API's documentation: files beside this module, or in a package, sent by name."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.runtime.errors import NotFound

router: Final = APIRouter(include_in_schema=False)
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI and Redoc write style elements of their own; Redoc searches in a worker that it makes.
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".ico": "image/x-icon",
    ".png": "image/png",
    ".webp": "image/webp",
}
_PATH_FORM: Final = re.compile(
    r"[a-z0-9_-][a-z0-9._-]*(/[a-z0-9_-][a-z0-9._-]*){0,5}", re.ASCII | re.IGNORECASE
)
_ASSETS: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js")
_FOREIGN_LOGO: Final = (
    b"https://cdn.redoc.ly/redoc/logo-mini.svg",
    b"/page/icon.svg",
)  # and what stands for it
_SWAGGER_START: Final = (
    b'SwaggerUIBundle({url: "/openapi.json", dom_id: "#api", deepLinking: true, docExpansion: "list",'
    b" validatorUrl: null, presets: [SwaggerUIBundle.presets.apis]});\n"
)
_REDOC_START: Final = b'Redoc.init("/openapi.json", {}, document.getElementById("api"));\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A file as it is sent. stamp: by which a changed file is noticed."""

    content: bytes
    compressed: bytes
    tag: str
    media_type: str
    stamp: tuple[int, int]

    @classmethod
    def of(cls, content: bytes, suffix: str, stamp: tuple[int, int] = (0, 0)) -> "PageFile":
        """The file, compressed once."""
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(
            content=content,
            compressed=gzip.compress(content, 6, mtime=0),
            tag=f'"{digest}"',
            media_type=_TYPES[suffix],
            stamp=stamp,
        )


_cache: Final[dict[str, PageFile]] = {}


@router.get("/")
async def get_page(request: Request) -> Response:
    """Send the page."""
    return _send(request, page_file("index.html"), PAGE_POLICY)


@router.get("/page/{path:path}")
async def get_page_file(request: Request, path: str) -> Response:
    """Send a file of the page."""
    return _send(request, page_file(path), PAGE_POLICY)


@router.get("/docs")
async def get_docs(request: Request) -> Response:
    """Send the API's document as Swagger UI shows it."""
    return _send(
        request, _shell("docs", "Atelier API", "swagger-ui-bundle.js", "swagger-ui.css"), _DOCS_POLICY
    )


@router.get("/redoc")
async def get_redoc(request: Request) -> Response:
    """Send the API's document as Redoc shows it."""
    return _send(request, _shell("redoc", "Atelier API", "redoc.standalone.js"), _DOCS_POLICY)


@router.get("/docs/assets/{name}")
async def get_docs_asset(request: Request, name: str) -> Response:
    """Send a script or style sheet of the documentation. Raises NotFound."""
    return _send(request, _asset(name), _DOCS_POLICY)


def page_file(path: str) -> PageFile:
    """A file of the page, read again when it changes. Raises NotFound: for any other name."""
    suffix = Path(path).suffix
    if not _PATH_FORM.fullmatch(path) or suffix not in _TYPES:
        raise NotFound("no such file of the page")
    file = _PAGE / path
    try:
        status = file.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        known = _cache.get(path)
        if known is None or known.stamp != stamp:
            known = _cache[path] = PageFile.of(file.read_bytes(), suffix, stamp)
    except OSError:
        raise NotFound("no such file of the page") from None
    return known


def _asset(name: str) -> PageFile:
    known = _cache.get(f"/{name}")
    if known is None:
        own = {"docs.js": _SWAGGER_START, "redoc.js": _REDOC_START}.get(name)
        if own is None and name not in _ASSETS:
            raise NotFound("no such file of the documentation")
        content = own or (files("fastapi_offline") / "static" / name).read_bytes().replace(*_FOREIGN_LOGO)
        known = _cache[f"/{name}"] = PageFile.of(content, Path(name).suffix)
    return known


def _shell(name: str, title: str, script: str, style: str = "") -> PageFile:
    known = _cache.get(f"/{name}")
    if known is None:
        link = f'<link rel="stylesheet" href="/docs/assets/{style}">' if style else ""
        html = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="icon" href="/page/icon.svg">{link}</head><body><div id="api"></div>'
            f'<script src="/docs/assets/{script}"></script><script src="/docs/assets/{name}.js"></script>'
            "</body></html>"
        )
        known = _cache[f"/{name}"] = PageFile.of(html.encode(), ".html")
    return known


def _send(request: Request, file: PageFile, policy: str) -> Response:
    headers = {
        "etag": file.tag,
        "cache-control": "no-cache",
        "vary": "accept-encoding",
        "content-security-policy": policy,
    }
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(file.compressed, 200, headers, file.media_type)
    return Response(file.content, 200, headers, file.media_type)
