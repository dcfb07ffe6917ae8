"""How commands reach services: `--tls-ca`, `--token-file` and so on before the noun, or `ATELIER_PEER_*`."""

from pathlib import Path

from pydantic import ValidationError

from cli.errors import USAGE, CommandError
from services.runtime.security import BadSecurity, ClientSecurity, PeerSettings

_chosen: dict[str, Path] = {}


def choose(**files: Path | None) -> None:
    """Prefer these files, by the names of `PeerSettings`, over the environment's."""
    _chosen.clear()
    _chosen.update({name: path for name, path in files.items() if path is not None})


def security() -> ClientSecurity:
    """What clients of this command bring along. Raises CommandError: when a file cannot be used."""
    try:
        return PeerSettings(**_chosen).client_security()  # type: ignore[arg-type]
    except ValidationError as error:
        raise CommandError(str(error.errors()[0]["msg"]), code=USAGE) from error
    except BadSecurity as error:
        raise CommandError(str(error), code=USAGE) from error
