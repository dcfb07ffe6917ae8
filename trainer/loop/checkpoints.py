"""Checkpoints: written whole or not at all, read without unpickling code (A-14, A-22)."""

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from model_store.durable import replacing
from trainer.errors import InvalidCheckpoint

SCHEMA_VERSION = 1


def save_checkpoint(path: Path, body: Mapping[str, Any]) -> None:
    """Write tensors, numbers, texts, lists and mappings; the file before stays until the new one is whole.

    Raises OSError: when it cannot be written, naming the file.
    """
    with replacing(path) as temporary:
        # In memory first: torch's own writer reports a full disk as an internal error.
        whole = BytesIO()
        torch.save({"schema_version": SCHEMA_VERSION, **body}, whole)
        temporary.write_bytes(whole.getbuffer())


def copy_checkpoint(source: Path, target: Path) -> None:
    """The same checkpoint under a second name. Files are only ever replaced, so the two may share bytes."""
    # Its content is on the disk already, under the first name.
    with replacing(target, sync=False) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            # A file system without links.
            shutil.copyfile(source, temporary)


def load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """A checkpoint of `kind`, on the CPU.

    Raises InvalidCheckpoint: when it is not there, holds more than data, or is of another kind or schema.
    """
    try:
        with warnings.catch_warnings():
            # torch warns at length of a pickle of another protocol before it refuses it.
            warnings.simplefilter("ignore")
            body = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InvalidCheckpoint(f"{path}: not a checkpoint, there is no such file") from error
    except Exception as error:
        raise InvalidCheckpoint(f"{path}: not a checkpoint ({type(error).__name__})") from error
    if not isinstance(body, dict):
        raise InvalidCheckpoint(f"{path}: not a checkpoint ({type(body).__name__})")
    if body.get("schema_version") != SCHEMA_VERSION:
        raise InvalidCheckpoint(
            f"{path}: has schema version {body.get('schema_version')}, this build reads {SCHEMA_VERSION}"
        )
    if body.get("kind") != kind:
        raise InvalidCheckpoint(f"{path}: of kind {body.get('kind')}, expected {kind}")
    return body


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Turn whatever is missing in a checkpoint, or does not fit, into one line.

    Raises InvalidCheckpoint: naming the file and the first thing that is wrong with it.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error).strip().splitlines()[0]
        raise InvalidCheckpoint(f"{path}: damaged, or not written by this build: {reason[:200]}") from error
