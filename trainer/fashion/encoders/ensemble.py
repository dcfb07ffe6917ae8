"""Several encoders of one schema and one space that answer as one, in evaluation (F-23).

Shapes: B batch, M members, D vector.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from model_store.manifest import AttributePreprocessing
from trainer.errors import InvalidCheckpoint
from trainer.fashion.encoders.base import RecordEncoder
from trainer.fashion.encoders.build import restore_encoder


class EncoderEnsemble(RecordEncoder):
    """The mean of the members' vectors, brought to length 1. Members are one or more encoders, of any kind.

    They share a schema and a space: `restore_ensemble` sees to it.
    """

    def __init__(self, members: Sequence[RecordEncoder]) -> None:
        super().__init__(members[0].fields)
        self.members = nn.ModuleList(members)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """vector_BD of the tensors named by `inputs`, in that order."""
        vector_MBD = torch.stack([member(*tensors) for member in self.members])
        return functional.normalize(vector_MBD.mean(dim=0), dim=-1)


def restore_ensemble(checkpoints: Mapping[str, Mapping[str, Any]]) -> EncoderEnsemble:
    """The encoders of checkpoints as one, ready to encode; a key is the name of its checkpoint in errors.

    Raises InvalidCheckpoint: when there is none, or two are of other spaces or schemas, naming both sides.
    """
    if not checkpoints:
        raise InvalidCheckpoint("an ensemble has one member or more, found no checkpoint")
    first, *others = ((name, tuple(_claims(body))) for name, body in checkpoints.items())
    for other in others:
        _check_alike(first, other)
    return EncoderEnsemble([restore_encoder(body) for body in checkpoints.values()]).eval()


def _check_alike(one: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]]) -> None:
    for claim, other_claim in zip(one[1], other[1], strict=False):
        if claim != other_claim:
            raise InvalidCheckpoint(f"{one[0]} was trained on {claim}, {other[0]} on {other_claim}")


def _claims(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """What a member was trained on, in an order in which two that differ differ before either one ends."""
    yield f"the space {checkpoint['space_id'][:12]}"
    schema = AttributePreprocessing.model_validate(checkpoint["preprocessing"])
    yield f"the fields {', '.join(field.name for field in schema.fields)}"
    yield f"{len(schema.spelling)} spellings"
    for field in schema.fields:
        yield f"{'lists' if field.multiple else 'one'} of {len(field.vocabulary)} words of {field.name}"
    for field in schema.fields:
        yield from (f"{word!r} as word {n} of {field.name}" for n, word in enumerate(field.vocabulary, 1))
    yield from (f"{word!r} spelt {preferred!r}" for word, preferred in sorted(schema.spelling.items()))
