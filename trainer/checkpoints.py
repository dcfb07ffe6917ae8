"""Checkpoints: written whole or not at all, read without unpickling code (A-14, A-22)."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainer.errors import InvalidCheckpoint

SCHEMA_VERSION = 1


def save_checkpoint(path: Path, body: Mapping[str, Any]) -> None:
    """Write tensors, numbers, texts, lists and mappings; the file before stays until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            torch.save({"schema_version": SCHEMA_VERSION, **body}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def copy_checkpoint(source: Path, target: Path) -> None:
    """The same checkpoint under a second name. Files are only ever replaced, so the two may share bytes."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary)
        except OSError:
            # A file system without links.
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """A checkpoint of `kind`, on the CPU.

    Raises InvalidCheckpoint: when it is not there, holds more than data, or is of another kind or schema.
    """
    try:
        body = torch.load(path, map_location="cpu", weights_only=True)
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
