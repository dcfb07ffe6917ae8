"""Channels: in plaintext, over TLS, or over mutual TLS."""

from typing import Any

import grpc

from services.security import ClientSecurity


def open_channel(address: str, options: Any, security: ClientSecurity) -> grpc.Channel:
    """A blocking channel. Raises BadSecurity: where a token would be told to a network."""
    credentials = _credentials(address, security)
    if credentials is None:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, credentials, options=options)


def open_aio_channel(address: str, options: Any, security: ClientSecurity) -> Any:
    """A channel for asyncio. Raises BadSecurity: where a token would be told to a network."""
    credentials = _credentials(address, security)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=options)


def _credentials(address: str, security: ClientSecurity) -> grpc.ChannelCredentials | None:
    security.check(address)
    if security.ca is None:
        return None
    return grpc.ssl_channel_credentials(security.ca, security.key, security.certificate)
