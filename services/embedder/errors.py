"""Errors of the embedder; `wire.ERRORS` says which status each becomes."""


class EmbedderError(Exception):
    """The embedder cannot do what was asked."""


class QueueFull(EmbedderError):
    """Accepting the request would pass a bound of the queue; worth trying again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestTooDear(EmbedderError):
    """The request alone costs more than the whole queue holds, so it can never be accepted."""


class DeadlineUnmeetable(EmbedderError):
    """At the measured speed the work alone takes longer than the deadline allows."""


class Expired(EmbedderError):
    """The deadline passed while the work waited; it was not computed."""


class Abandoned(EmbedderError):
    """The caller cancelled while the work waited; it was not computed."""


class ModelNotLoaded(EmbedderError):
    """The space is not in memory; PrepareModel loads it."""


class UnknownModel(EmbedderError):
    """No alias reaches the model or space."""


class InvalidModelName(EmbedderError):
    """The name of a model or alias does not have the form of a name."""


class ModelRefused(EmbedderError):
    """A version did not pass its checks, or is of a kind that the embedder does not run."""


class MemoryBound(EmbedderError):
    """Loading the model would pass the memory bound; what is loaded stays loaded."""


class StoreUnavailable(EmbedderError):
    """The model store cannot be read at present."""


class WrongKind(EmbedderError):
    """A picture for a model of attributes, or attributes for a model of pictures, or neither."""
