"""What a reply shows of each item, serialised, by label: pages that are copied when they are written."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

# A write of one item copies the replies of a page, of about 200 bytes each.
PAGE: Final = 128


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    """The replies of 128 labels, one after another. ends: uint32, shape (129,), from 0."""

    data: bytes
    ends: np.ndarray

    def changed(self, slots: Mapping[int, bytes]) -> "_Page":
        lengths = self.ends[1:] - self.ends[:-1]
        pieces, done = list[bytes](), 0
        for slot in sorted(slots):
            reply = slots[slot]
            pieces += [self.data[done : self.ends.item(slot)], reply]
            done = self.ends.item(slot + 1)
            lengths[slot] = len(reply)
        pieces.append(self.data[done:])
        ends = np.zeros(PAGE + 1, np.uint32)
        np.cumsum(lengths, out=ends[1:])
        return _Page(b"".join(pieces), ends)


_EMPTY: Final = _Page(b"", np.zeros(PAGE + 1, np.uint32))


@dataclass(frozen=True, slots=True, eq=False)
class Replies:
    """A reply a label; b'' for a label without one."""

    pages: tuple[_Page, ...] = ()

    @property
    def size(self) -> int:
        """A number above every label that was ever written."""
        return len(self.pages) * PAGE

    def of(self, label: int) -> bytes:
        """The reply of a label."""
        place = label // PAGE
        if place >= len(self.pages):
            return b""
        page, slot = self.pages[place], label % PAGE
        return page.data[page.ends.item(slot) : page.ends.item(slot + 1)]

    def begins(self, label: int, prefix: bytes) -> bool:
        """Whether the reply of a label begins with some bytes, which are no reply's whole length."""
        place = label // PAGE
        if place >= len(self.pages):
            return False
        page, slot = self.pages[place], label % PAGE
        return page.data.startswith(prefix, page.ends.item(slot), page.ends.item(slot + 1))

    def changed(self, changes: Mapping[int, bytes]) -> "Replies":
        """The replies with new ones by label; b'' removes one."""
        if not changes:
            return self
        by_page = defaultdict[int, dict[int, bytes]](dict)
        for label, reply in changes.items():
            by_page[label // PAGE][label % PAGE] = reply
        pages = list(self.pages)
        pages += [_EMPTY] * (max(by_page) + 1 - len(pages))
        for place, slots in by_page.items():
            page = pages[place].changed(slots)
            pages[place] = page if page.data else _EMPTY
        return Replies(tuple(pages))
