"""Records on their way to disk: written as they come, dealt into a split once all groups are known (F-5).

In memory are the names of groups and counts, not records: a million of them pass through.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainer.errors import InvalidData
from trainer.fashion.data.prepared_data import VALIDATION_SHARE

TRAIN, VAL = "train", "val"


class RecordDraft:
    """A file of JSON lines that becomes `path` when it is finished, and nothing when it is not."""

    def __init__(self, path: Path) -> None:
        self._path, self._draft = path, path.with_name(f".{path.name}.draft")
        self._groups: set[str] = set()

    def write(self, lines: Iterable[Mapping[str, Any]]) -> int:
        """Write every line to the draft; returns how many there were."""
        count = 0
        self._draft.parent.mkdir(parents=True, exist_ok=True)
        with self._draft.open("w", encoding="utf-8") as stream:
            for line in lines:
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                self._groups.add(str(line["group"]))
                count += 1
        return count

    def deal(self, seed: int) -> Iterator[dict[str, Any]]:
        """Give each line its part, a fifth of the groups to validate on; ends with the file in place.

        Raises InvalidData: when all garments are of one group.
        """
        held = self._held_out(seed)
        dealt = self._path.with_name(f".{self._path.name}")
        with self._draft.open(encoding="utf-8") as lines, dealt.open("w", encoding="utf-8") as stream:
            for text in lines:
                line = json.loads(text)
                line["split"] = VAL if line["group"] in held else TRAIN
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                yield line
            stream.flush()
            os.fsync(stream.fileno())
        dealt.replace(self._path)
        self._draft.unlink()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._draft.unlink(missing_ok=True)
        self._path.with_name(f".{self._path.name}").unlink(missing_ok=True)

    def _held_out(self, seed: int) -> set[str]:
        if len(self._groups) < 2:
            raise InvalidData("all garments are of one group: nothing is left to validate on")
        ordered = sorted(self._groups)
        count = max(1, round(len(ordered) * VALIDATION_SHARE))
        return {ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))[:count]}
