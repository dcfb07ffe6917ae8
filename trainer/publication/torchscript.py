"""Torch modules to TorchScript: traced, frozen, and written so that the same module gives the same bytes.

Shapes: B batch.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.runtimes.torchscript import SIGNATURE_FILE, GraphSignature
from model_store.manifest import TensorSpec
from trainer.errors import NotFaithful
from trainer.publication.signature import Arrays, Signature

_EPOCH = (1980, 1, 1, 0, 0, 0)
# torch numbers the classes that it has traced in a process.
_MANGLED = re.compile(rb"\.___torch_mangle_\d+")
_MANGLED_FILE = re.compile(r"/___torch_mangle_\d+(?=\.py)")
_DEVICE = b"device=torch.device("


class _Chain(nn.Module):
    """One graph after another: the outputs of `second` over the first output of `first`."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, tensor: torch.Tensor) -> Any:
        return self.second(self.first(tensor))


def trace(module: nn.Module, sample: Arrays, signature: Signature) -> bytes:
    """The file of `module`, traced and frozen: weights are constants, the axes of `signature` vary.

    Raises NotFaithful: when it makes a tensor on a device of its own.
    """
    tensors = tuple(torch.from_numpy(sample[name]) for name in signature.inputs)
    with _hushed(), torch.no_grad():
        traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            module.eval(), tensors, check_trace=False
        )
        frozen = torch.jit.freeze(traced)
        result = frozen(*tensors)
        outputs = tuple(result) if isinstance(result, tuple) else (result,)
        specs = _specs(sample, signature, outputs)
        stream = io.BytesIO()
        torch.jit.save(frozen, stream, _extra_files={SIGNATURE_FILE: specs.model_dump_json()})
    return _canonical(stream.getvalue())


def chain(first: Path, second: Path, sample: Arrays, signature: Signature) -> bytes:
    """Two graphs on disk as one: `second` over the output of `first`."""
    with _hushed():
        parts = [torch.jit.load(path, map_location="cpu") for path in (first, second)]  # type: ignore[no-untyped-call]
    return trace(_Chain(*parts), sample, signature)


def _specs(sample: Arrays, signature: Signature, outputs: Sequence[torch.Tensor]) -> GraphSignature:
    """What the file says of its tensors; the first axis of an output is that of the first input."""
    batch = signature.axes[signature.inputs[0]][0]
    return GraphSignature(
        inputs=tuple(
            _spec(name, sample[name].dtype, sample[name].shape, signature.axes[name])
            for name in signature.inputs
        ),
        outputs=tuple(
            _spec(name, tensor.numpy().dtype, tuple(tensor.shape), {0: batch})
            for name, tensor in zip(signature.outputs, outputs, strict=True)
        ),
    )


@contextmanager
def _hushed() -> Iterator[None]:
    with warnings.catch_warnings():
        # TorchScript is deprecated in favour of torch.export, which has no runtime without its exporter.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        # The libraries' checks of shapes, which hold for every batch: only the batch varies. Whether a
        # trace is faithful is found by comparing it with the module, on other batches than the sample.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield


def _spec(name: str, dtype: np.dtype[Any], shape: Sequence[int], axes: Mapping[int, str]) -> TensorSpec:
    sizes = [axes.get(axis, size) for axis, size in enumerate(shape)]
    return TensorSpec.model_validate({"name": name, "dtype": dtype.name, "shape": sizes})


def _canonical(data: bytes) -> bytes:
    """The archive without torch's running numbers and without its notes on source files.

    Raises NotFaithful: when its code names a device, on which it would insist wherever it runs.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            if name.endswith((".debug_pkl", "/.data/serialization_id")):
                continue
            body = old.read(name)
            if name.endswith((".py", "/data.pkl")):
                body = _MANGLED.sub(b"", body)
            if name.endswith(".py") and _DEVICE in body:
                raise NotFaithful("the module makes a tensor on a device of its own")
            new.writestr(zipfile.ZipInfo(_MANGLED_FILE.sub("", name), _EPOCH), body)
    return stream.getvalue()
