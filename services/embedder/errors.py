"""Errors of the embedder; `wire.ERRORS` says which status each becomes."""


class EmbedderError(Exception):
    """The embedder cannot do what was asked."""


class QueueFull(EmbedderError):
    """Accepting the request would pass a bound of the queue; worth trying again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestTooDear(EmbedderError):
    """The request alone is dearer than the whole queue, so it can never be accepted."""


class DeadlineUnmeetable(EmbedderError):
    """At the measured speed the work alone takes longer than the time that is left."""


class Expired(EmbedderError):
    """The deadline passed while the work waited; it was not computed."""


class Abandoned(EmbedderError):
    """The caller went away while the work waited; it was not computed."""


class ModelNotLoaded(EmbedderError):
    """The space is not in memory; preparing it makes it so."""


class UnknownModel(EmbedderError):
    """No alias reaches such a model or space."""


class InvalidModelName(EmbedderError):
    """What a caller gave for a model's or an alias's name cannot be one."""


class ModelRefused(EmbedderError):
    """A version did not pass its checks, or is of a kind that the embedder does not run."""


class MemoryBound(EmbedderError):
    """Loading the model would pass the memory bound; what is loaded stays loaded."""


class StoreUnavailable(EmbedderError):
    """The model store cannot be read at present."""


class WrongKind(EmbedderError):
    """A picture for a model of attributes, or attributes for a model of pictures, or neither."""
