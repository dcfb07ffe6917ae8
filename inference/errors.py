"""Errors of inference. The message of an `InvalidInput` is a plain line that may be sent to a caller."""


class InferenceError(Exception):
    """A vector could not be made."""


class InvalidInput(InferenceError):
    """The input is not what the model takes; the message says what is wrong and names no path."""


class InvalidImage(InvalidInput):
    """The bytes are not a picture within the bounds."""


class InvalidAttributes(InvalidInput):
    """The attribute record does not fit the schema of the model."""


class InvalidFeature(InvalidInput):
    """A feature has another dimension than the head takes, or is not finite."""


class InvalidTable(InferenceError):
    """A table of items cannot be read; the message names the file and, one a line, its bad rows."""


class BadOutput(InferenceError):
    """A graph gave NaN, infinity or a norm outside the range of its manifest."""


class DeviceOutOfMemory(InferenceError):
    """A run needed more memory than the device has; a smaller batch may fit."""


class RefusedModel(InferenceError):
    """A version failed a check and is not loaded; the message names the model, the version and the file."""


class UnsupportedFormat(RefusedModel):
    """A version is of a format that this installation cannot run; the message names what is missing."""


class NoRelease(InferenceError):
    """No version is in service yet; the message says why."""
