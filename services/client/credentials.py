"""Channels: in plaintext, over TLS, or over mutual TLS."""

from typing import Any, Final

import grpc

from services.runtime.security import ClientSecurity

# A token in plaintext stays on this machine: gRPC takes even loopback through the environment's http_proxy.
_NO_PROXY: Final = (("grpc.enable_http_proxy", 0),)


def open_channel(address: str, options: Any, security: ClientSecurity) -> grpc.Channel:
    """A blocking channel. Raises BadSecurity: where a token would be told to a network."""
    credentials = _credentials(address, security)
    if credentials is None:
        return grpc.insecure_channel(address, options=_plain(options, security))
    return grpc.secure_channel(address, credentials, options=options)


def open_aio_channel(address: str, options: Any, security: ClientSecurity) -> Any:
    """A channel for asyncio. Raises BadSecurity: where a token would be told to a network."""
    credentials = _credentials(address, security)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=_plain(options, security))
    return grpc.aio.secure_channel(address, credentials, options=options)


def _plain(options: Any, security: ClientSecurity) -> Any:
    return (*options, *_NO_PROXY) if security.token else options


def _credentials(address: str, security: ClientSecurity) -> grpc.ChannelCredentials | None:
    security.check(address)
    if security.ca is None:
        return None
    return grpc.ssl_channel_credentials(security.ca, security.key, security.certificate)
