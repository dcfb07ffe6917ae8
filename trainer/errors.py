"""Errors of the trainer: one line with what is wrong and, where there is one, the remedy."""


class TrainerError(Exception):
    """The trainer cannot do what was asked."""


class InvalidConfig(TrainerError):
    """A configuration file or option is not usable; the message names the field."""


class BackboneUnavailable(TrainerError):
    """A backbone cannot be loaded: not downloadable, not there, or of another architecture."""


class InvalidData(TrainerError):
    """Metadata or records are not usable; the message lists every bad row."""


class LeakDetected(TrainerError):
    """A picture or an artist of the test split is in training or validation too."""


class FolderInUse(TrainerError):
    """Another run writes into the same folder now."""


class RunExists(TrainerError):
    """The folder of a new run holds the results of another; the message names them and the remedies."""


class NotFaithful(TrainerError):
    """An exported graph does not compute what its torch module computes; nothing was published."""


class InvalidStudy(TrainerError):
    """A study was begun with other data or settings, which the message names."""


class InvalidCheckpoint(TrainerError):
    """A checkpoint is damaged, of another kind, or was trained on another space."""


class OutOfMemory(TrainerError):
    """The memory of the device does not hold a single picture or row; the message names the stage."""


class Diverged(TrainerError):
    """The loss of an epoch is not finite; the message names the epoch and the rate."""
