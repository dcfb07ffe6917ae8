"""Calls as gRPC has them: answered and ended so that nothing of one stays in memory after it."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import grpc
from google.rpc.status_pb2 import Status

from services.runtime.admission.waits import Wait
from services.runtime.context import Call
from services.runtime.errors import DeadlineExceeded

T = TypeVar("T")
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


async def within(call: Call, run: Awaitable[T]) -> T:
    """What the handler gives. Raises DeadlineExceeded: if it is late."""
    wait = Wait().expire_in(call.remaining_s)
    try:
        with wait:
            return await run
    except TimeoutError as error:
        if wait.expired:
            raise DeadlineExceeded("the deadline passed before the answer was ready") from error
        raise


async def write_reply(context: Any, reply: Any) -> None:
    """Send a reply. Raises CancelledError: if the call ended meanwhile, as gRPC says in another way."""
    try:
        await context.write(reply)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error


async def refuse(context: Any, status: Status, *metadata: tuple[str, str]) -> None:
    """Fail a call whose reply is a stream."""
    context.set_code(_CODES[status.code])
    context.set_details(status.message)
    context.set_trailing_metadata(_trailing(status, *metadata))


async def abort(context: Any, status: Status, *metadata: tuple[str, str]) -> None:
    """Fail a call whose reply is a single message: so that no empty message precedes the failure."""
    try:
        await context.abort(_CODES[status.code], status.message, _trailing(status, *metadata))
    except (grpc.aio.AbortError, grpc.aio.InternalError) as error:  # the latter if the caller is gone
        # gRPC keeps it with the call, and its trace would keep the call: both until garbage is collected.
        error.__traceback__ = None


def _trailing(status: Status, *metadata: tuple[str, str]) -> tuple[tuple[str, str | bytes], ...]:
    return (("grpc-status-details-bin", status.SerializeToString()), *metadata)
