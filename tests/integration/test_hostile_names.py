"""Hostile names in every text field of every request, and requests drawn at random (S-5, S-11).

`ATELIER_TEST_HOSTILE=100000` for the long form of the last test, which draws 2,000 in `make test`.
"""

import asyncio
import os
import pkgutil
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import atelier
import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.client.ranker import picture
from tests.integration.conftest import House, drawing
from tests.integration.drawn_messages import Drawing

pytestmark = pytest.mark.slow

HOSTILE = {
    "parent": "../../etc/passwd",
    "encoded": "%2e%2e%2fetc",
    "absolute": "/etc/passwd",
    "windows": "..\\..\\con",
    "look-alike": "ｆａｓｈｉｏｎ/‥",
    "fraction slash": "fashion⁄..",
    "direction": "fash\u202eion",
    "zero width": "fash\u200bion",
    "NUL": "fashion\x00.json",
    "newline": "fashion\n",
    "space": " fashion",
    "dot": ".",
    "long": "a" * 10_240,
}
# Texts that are no names of ours: callers' own words for their inputs, told back as they were.
FREE = ("candidates.id", "candidate_a.id", "candidate_b.id", "inputs.id", "input.id")
# A space is looked for among those that there are, never on disk.
SPACE_CODES = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"}
FREE_CODES = {"OK", "INVALID_ARGUMENT"}
# Names of attribute fields are a shop's own words too; an empty collection has no bestsellers.
OWN_FIELDS = ("fields", "field", "trend_fields", "missing_fields", "key")
OWN_FIELD_CODES = {*FREE_CODES, "FAILED_PRECONDITION"}


DRAWN = int(os.environ.get("ATELIER_TEST_HOSTILE", "2000"))
SEED = int(os.environ.get("ATELIER_TEST_HOSTILE_SEED", "1"))
AT_ONCE = 16
GROWTH_MB = 200.0
# What a caller may be answered with; INTERNAL, UNKNOWN and DATA_LOSS say that a service is broken.
CANONICAL = {
    "OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "OUT_OF_RANGE", "ALREADY_EXISTS", "ABORTED",
    "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "UNAVAILABLE",
}  # fmt: skip


def methods() -> Iterator[tuple[ServiceDescriptor, Any]]:
    modules = pkgutil.walk_packages(atelier.__path__, "atelier.")
    for module in sorted(module.name for module in modules if module.name.endswith("_pb2")):
        for service in import_module(module).DESCRIPTOR.services_by_name.values():
            yield from ((service, method) for method in service.methods)


def text_fields(descriptor: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of every text field of a message, attribute records excepted: those are data."""
    for field in descriptor.fields:
        if field.message_type is not None and not field.message_type.full_name.startswith("google."):
            yield from text_fields(field.message_type, (*path, field.name))
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield (*path, field.name)


def fill(message: Message, path: tuple[str, ...], text: str) -> None:
    """Set the field at `path`, making what it is in."""
    field = message.DESCRIPTOR.fields_by_name[path[0]]
    if len(path) == 1:
        if field.is_repeated:
            getattr(message, path[0]).append(text)
        else:
            setattr(message, path[0], text)
        return
    inner = getattr(message, path[0])
    if field.message_type.GetOptions().map_entry:
        inner[text].SetInParent()
        return
    fill(inner.add() if field.is_repeated else inner, path[1:], text)


CASES = [(service, method, path) for service, method in methods() for path in text_fields(method.input_type)]


def snapshot(roots: list[Path]) -> dict[str, tuple[int, int]]:
    """Every path below `roots` with its size and time; what a running service writes anyway is left out."""
    found = {}
    for root in roots:
        for directory, _, files in os.walk(root):
            for name in [".", *files]:
                path = Path(directory) / name
                if path.suffix in {".log", ".sqlite", ".db"} or "-wal" in name or "-shm" in name:
                    continue
                state = path.stat()
                found[str(path)] = (state.st_size if path.is_file() else 0, state.st_mtime_ns)
    return found


@pytest.mark.parametrize(
    ("service", "method", "path"), CASES, ids=[f"{m.name}-{'.'.join(p)}" for _, m, p in CASES]
)
def test_a_hostile_name_is_refused(house: House, service: Any, method: Any, path: tuple[str, ...]) -> None:
    """INVALID_ARGUMENT for every hostile text in every field; the store, the catalog and what lies around
    them stay as they are (S-5)."""
    name = service.full_name.split(".")[1]
    kind = GetMessageClass(method.input_type)
    before = snapshot([house.data, Path(house.store.place)])
    codes: dict[str, str] = {}
    told: list[str] = []
    with grpc.insecure_channel(house.addresses[name].grpc) as channel:
        for label, text in HOSTILE.items():
            request = kind()
            fill(request, path, text)
            complete(request, path)
            try:
                call(channel, service, method, request)
                codes[label] = "OK"
            except grpc.RpcError as error:
                codes[label] = error.code().name
                told.append(error.details() or "")
    assert not [text for text in told if "Traceback" in text or len(text) > 2_000]
    dotted = ".".join(path)
    allowed = {"INVALID_ARGUMENT"}
    if path[-1] == "space_id":
        allowed = SPACE_CODES
    elif dotted in FREE:
        allowed = FREE_CODES
    elif path[-1] in OWN_FIELDS:
        allowed = OWN_FIELD_CODES
    assert set(codes.values()) <= allowed, codes
    assert snapshot([house.data, Path(house.store.place)]) == before


def complete(request: Message, path: tuple[str, ...]) -> None:
    """Give a request what it needs beside the name, so that it is the name that is refused."""
    if "excluded_item_ids" in path:
        batch = request.DESCRIPTOR.fields_by_name.get("requests")
        fill(request.requests[0] if batch else request, ("items", "item_ids"), "plain")
    for field in request.DESCRIPTOR.fields:
        if field.name in ("inputs", "candidates", "items") and field.is_repeated:
            entries = getattr(request, field.name)
            for entry in entries or [entries.add()]:
                if entry.WhichOneof("content") is None:
                    entry.image = drawing(1)


def test_a_plain_name_is_not_refused(house: House) -> None:
    """The same requests with a plain item id are answered: it was the names that were refused."""
    service, method, path = next(c for c in CASES if c[1].name == "UpsertItems" and c[2][-1] == "item_id")
    request = GetMessageClass(method.input_type)()
    fill(request, path, "plain")
    complete(request, path)
    with grpc.insecure_channel(house.addresses["recommender"].grpc) as channel:
        call(channel, service, method, request)


def call(channel: Any, service: Any, method: Any, request: Message) -> None:
    """Call a method of whatever shape with one message."""
    shape = (
        "stream" if method.client_streaming else "unary",
        "stream" if method.server_streaming else "unary",
    )
    reply = GetMessageClass(method.output_type).FromString
    stub = getattr(channel, "_".join(shape))(
        f"/{service.full_name}/{method.name}", lambda message: message.SerializeToString(), reply
    )
    answer = stub(iter([request]) if method.client_streaming else request, timeout=20)
    if method.server_streaming:
        list(answer)


@pytest.mark.timeout(600 + DRAWN // 20)
def test_requests_drawn_at_random_break_nothing(house: House) -> None:
    """Every method, random fields, depth and size, and damaged bytes: canonical statuses without a trace of
    the code, good neighbours answered all along, and memory that does not grow (S-5, S-12)."""
    spaces = tuple(house.store.resolve(name).space_id for name in ("artwork-backbone", "fashion-image"))
    drawn = Drawing(SEED, spaces=spaces, pictures=(drawing(1), drawing(2, "PNG")))
    requests = [drawn.random.choice(METHODS) for _ in range(DRAWN)]
    warm, began = len(requests) // 4, time.monotonic()

    outcomes = asyncio.run(send_all(house, requests[:warm], drawn))
    before = memory_mb(house)
    outcomes += asyncio.run(send_all(house, requests[warm:], drawn))
    grown = {name: mb - before[name] for name, mb in memory_mb(house).items()}

    codes = Counter(code for code, _, _ in outcomes)
    seconds = time.monotonic() - began
    print(f"{len(outcomes)} requests in {seconds:.0f} s: {dict(codes)}; grown by MB {grown}")
    assert {(code, path, text) for code, path, text in outcomes if code not in CANONICAL} == set()
    assert not [
        text for _, _, text in outcomes if any(word in text for word in ("Traceback", ".py", "/site-"))
    ]
    assert len([code for code in codes if codes[code] > DRAWN // 1_000]) >= 4
    assert max(grown.values()) < GROWTH_MB
    with house.ranker() as ranker, house.recommender() as recommender:
        assert len(ranker.rank([picture(drawing(1), "a"), picture(drawing(2), "b")]).placements) == 2
        assert recommender.get_status().space_id


METHODS = [*methods()]


def memory_mb(house: House) -> dict[str, float]:
    """What each service has in memory."""
    sizes = {}
    for name in house.addresses:
        status = Path(f"/proc/{house.supervisor.process_id(name)}/status").read_text()
        sizes[name] = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmRSS")) / 1024
    return sizes


async def send_all(house: House, requests: list[Any], drawn: Drawing) -> list[tuple[str, str, str]]:
    """The code, method and message of every request; now and then a good one, which must be answered."""
    waiting, outcomes = iter(requests), []
    channels = {name: grpc.aio.insecure_channel(address.grpc) for name, address in house.addresses.items()}
    good = next(each for each in METHODS if each[1].name == "GetLimits" and "ranker" in each[0].full_name)

    async def worker() -> None:
        for number, (service, method) in enumerate(waiting):
            channel = channels[service.full_name.split(".")[1]]
            outcomes.append(await send(channel, service, method, drawn.request(method)))
            if number % 8 == 0:
                code, _, text = await send(channels["ranker"], *good, b"")
                assert code == "OK", text

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    for channel in channels.values():
        await channel.close()
    return outcomes


async def send(channel: Any, service: Any, method: Any, data: bytes) -> tuple[str, str, str]:
    """The code, method and message of a call with one message of these bytes."""
    path = f"/{service.full_name}/{method.name}"
    shape = "_".join("stream" if it else "unary" for it in (method.client_streaming, method.server_streaming))
    stub = getattr(channel, shape)(path)
    answer = stub(iter([data]) if method.client_streaming else data, timeout=30)
    try:
        if method.server_streaming:
            async for _ in answer:
                pass
        else:
            await answer
    except grpc.aio.AioRpcError as error:
        return error.code().name, path, error.details() or ""
    return "OK", path, ""
