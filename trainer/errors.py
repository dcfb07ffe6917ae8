"""Errors of the trainer: one line that says what is wrong and, where there is one, the way out."""


class TrainerError(Exception):
    """The trainer cannot do what was asked."""


class InvalidConfig(TrainerError):
    """A configuration file or option is not usable; the message names the field."""


class BackboneUnavailable(TrainerError):
    """A backbone cannot be loaded: not downloadable, not there, or of another architecture."""


class InvalidData(TrainerError):
    """Metadata or records are not usable; the message lists every bad row."""


class LeakDetected(TrainerError):
    """A picture or an artist of the test split was about to be read by training or validation."""


class FolderInUse(TrainerError):
    """Another run writes into the same folder now."""


class NotFaithful(TrainerError):
    """An exported graph does not compute what its torch module computes; nothing was published."""


class InvalidStudy(TrainerError):
    """A study cannot go on: it was begun with other data or settings, which the message names."""


class InvalidCheckpoint(TrainerError):
    """A checkpoint is damaged, of another kind, or was trained on another space."""


class OutOfMemory(TrainerError):
    """Not even one picture at a time fits the memory of the device; the message says at what."""


class Diverged(TrainerError):
    """The loss of an epoch is no number any more; the message names the epoch and the rate."""
