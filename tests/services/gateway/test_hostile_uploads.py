"""What nobody means well by: each is a clear 4xx, and nothing of it is kept, run or reflected."""

import io
import json
import socket
import struct
import zlib

import httpx
import pytest
from PIL import Image

from tests.services.gateway.house import House, drawing, upload, with_request

MIB = 1 << 20


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header claims 3.6 gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "not JPEG, PNG or WEBP"),
        (b"GIF89a" + bytes(100), "not JPEG, PNG or WEBP"),
        (b"", "empty"),
        (drawing(1)[:300], "truncated"),
        (bomb(), "the bound is 50.0 MP"),
        (b"\xff\xd8\xff" + bytes(range(256)) * 9, "image"),
    ],
    ids=["svg", "gif", "empty", "cut", "bomb", "noise"],
)
@pytest.mark.parametrize("path", ["/api/recommend", "/api/recommend/customer_input", "/api/search"])
def test_what_is_no_picture_is_refused(client: httpx.Client, path: str, data: bytes, words: str) -> None:
    """A wrong type, a bomb and damage are 400 with what is wrong, whatever name and type say. (S-5)"""
    answer = client.post(path, files=[upload("image", data, "picture.png")])

    assert answer.status_code == 400, answer.text
    assert words in answer.json()["detail"]


def test_bad_pictures_leave_the_good_ones_ranked(client: httpx.Client) -> None:
    """Of several pictures the bad are named by their index and file, and the others answered. (S-5)"""
    files = [
        upload("images", drawing(1), "a.jpg"),
        upload("images", bomb(), "b.png"),
        upload("images", b"x", "c.jpg"),
    ]

    body = client.post("/api/rank", files=files).json()

    assert [placement["id"] for placement in body["placements"]] == ["a.jpg"]
    assert [(error["index"], error["id"]) for error in body["errors"]] == [(1, "b.png"), (2, "c.jpg")]


@pytest.mark.slow
def test_a_body_of_100_mb_is_refused(client: httpx.Client) -> None:
    """413 names the bound, for a body with a length and for one without, and the gateway answers on. (S-5)"""
    length = client.post("/api/recommend", files=[upload("image", bytes(100 * MIB))])
    form = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
    pieces = (form if number == 0 else bytes(MIB) for number in range(100))
    chunked = client.post(
        "/api/recommend", content=pieces, headers={"content-type": "multipart/form-data; boundary=x"}
    )

    assert (length.status_code, length.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert (chunked.status_code, chunked.json()["reason"]) == (413, "PART_TOO_LARGE")
    assert client.get("/healthz").status_code == 200


def test_one_picture_beyond_the_bound_is_refused(client: httpx.Client) -> None:
    """A picture of more than 10 MiB is refused while it arrives. (S-5)"""
    answer = client.post("/api/search", files=[upload("image", bytes(10 * MIB + 1))])

    assert (answer.status_code, answer.json()["reason"]) == (413, "PART_TOO_LARGE")


def test_too_many_pictures_are_refused(client: httpx.Client) -> None:
    """129 pictures are more than a message holds. (S-5)"""
    answer = client.post(
        "/api/rank", files=[upload("images", b"x", f"{number}.jpg") for number in range(129)]
    )

    assert (answer.status_code, answer.json()["reason"]) == (413, "TOO_MANY_PICTURES")


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "..\\..\\boot.ini", "/tmp/x", "a\x00b.jpg", "<script>x</script>"]
)
def test_a_file_name_is_a_label_alone(client: httpx.Client, house: House, name: str) -> None:
    """No part of a file name reaches a path, and no markup an answer. (S-5)"""
    before = {path for path in house.folder.rglob("*") if "cache" not in path.parts}

    answer = client.post(
        "/api/rank", files=[upload("images", drawing(1), name), upload("images", b"x", name)]
    )

    assert answer.status_code == 200, answer.text
    assert b"<" not in answer.content
    assert b"/" not in answer.json()["placements"][0]["id"].encode()
    after = {path for path in house.folder.rglob("*") if "cache" not in path.parts}
    assert not [path for path in after - before if "catalogue" not in path.parts]


@pytest.mark.parametrize("item_id", ["<img src=x>", "a b", ".hidden", "é", "x" * 129])
def test_markup_in_an_id_is_refused(client: httpx.Client, item_id: str) -> None:
    """An id of another form is 400, and comes back without a `<`. (S-5)"""
    answer = client.post(
        "/api/items",
        files=[
            with_request(f'{{"items": [{{"item_id": {json.dumps(item_id)}}}]}}'),
            upload("images", drawing(1)),
        ],
    )

    assert answer.status_code == 400, answer.text
    assert b"<" not in answer.content


def test_markup_in_attributes_stays_data(client: httpx.Client) -> None:
    """A text with markup is kept as a text, and no answer's bytes hold it as markup. (S-5)"""
    text = "<script>alert(1)</script>"
    client.put(
        "/api/items/marked",
        files=[with_request(json.dumps({"attributes": {"note": text}})), upload("image", drawing(3))],
    ).raise_for_status()

    answer = client.get("/api/items/marked")
    client.delete("/api/items/marked").raise_for_status()

    assert answer.json()["item"]["attributes"]["note"] == text
    assert b"<" not in answer.content
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "reason"),
    [
        (b"{", "application/json", 400, "INVALID_REQUEST"),
        (b"[]", "application/json", 400, "INVALID_REQUEST"),
        (b'{"query": {"item_id": "a"}, "admin": true}', "application/json", 400, "INVALID_REQUEST"),
        (b'{"item_count": "5"}', "application/json", 400, "INVALID_REQUEST"),
        (b'{"diversity": NaN}', "application/json", 400, "INVALID_REQUEST"),
        (b"[" * 100_000, "application/json", 400, "INVALID_REQUEST"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"{}", "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"--x\r\nrubbish", "multipart/form-data; boundary=x", 400, "MALFORMED_FORM"),
        (b"{}", "multipart/form-data", 400, "MALFORMED_FORM"),
        (b"{}", "multipart/form-data; boundary=" + "y" * 300, 400, "MALFORMED_FORM"),
    ],
)
def test_a_malformed_body_is_refused(
    client: httpx.Client, content: bytes, content_type: str, status: int, reason: str
) -> None:
    """A body that is no request says so at once, whatever it is. (S-5)"""
    answer = client.post("/api/recommend", content=content, headers={"content-type": content_type})

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.elapsed.total_seconds() < 5


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e/settings.py",
        "/page/.hidden",
        "/page//etc/passwd",
        "/docs/assets/../../app.py",
        "/api/runs/..%2f..%2fmodels/files/x.png",
        "/api/runs/a/files/..%2f..%2fsecret.png",
        "/api/models/..%2f..%2fetc/vocabulary",
    ],
)
def test_no_path_leads_out(client: httpx.Client, path: str) -> None:
    """A path that climbs finds nothing. (M-1, S-5)"""
    answer = client.get(httpx.URL(client.base_url, raw_path=path.encode()))

    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_does_not_arrive_is_given_up(own_gateway) -> None:
    """408 after ATELIER_GATEWAY_BODY_S, and the connection ends. (S-7)"""
    gateway = own_gateway(gateway_body_s=0.2)
    host, _, port = gateway.background.address.rpartition(":")
    lines = ("POST /api/recommend HTTP/1.1", "host: localhost", "content-type: application/json")
    head = "\r\n".join((*lines, "content-length: 10", "", "")).encode()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head + b"{")
        answer = b""
        while piece := connection.recv(4_096):
            answer += piece

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"BODY_TIMEOUT" in answer


def test_a_large_picture_is_shrunk_within_bounds(client: httpx.Client) -> None:
    """A thumbnail of a large picture has the side asked for. (R-4)"""
    stream = io.BytesIO()
    Image.new("RGB", (4_000, 3_000), "red").save(stream, "JPEG")
    client.put("/api/items/large", files=[upload("image", stream.getvalue())]).raise_for_status()
    url = client.get("/api/items/large").json()["item"]["picture_url"]

    made = client.get(f"{url}&size=192")
    client.delete("/api/items/large").raise_for_status()

    assert Image.open(io.BytesIO(made.content)).size == (192, 144)
