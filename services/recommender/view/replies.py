"""What a reply shows of each item, serialised, by label: pages that are copied when they are written."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

# A write of one item copies the replies of a page, of about 200 bytes each.
PAGE: Final = 128


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    """The replies of 128 labels, one after another. ends: uint32, 129 of them, from 0.

    An array of the standard library: reading an element of it takes a third of the time of numpy's.
    """

    data: bytes
    ends: "array[int]"

    def changed(self, slots: Mapping[int, bytes]) -> "_Page":
        before = np.frombuffer(self.ends, np.uint32)
        lengths = before[1:] - before[:-1]
        pieces, done = list[bytes](), 0
        for slot in sorted(slots):
            reply = slots[slot]
            pieces += [self.data[done : self.ends[slot]], reply]
            done = self.ends[slot + 1]
            lengths[slot] = len(reply)
        pieces.append(self.data[done:])
        ends = np.zeros(PAGE + 1, np.uint32)
        np.cumsum(lengths, out=ends[1:])
        return _Page(b"".join(pieces), array("I", ends.tobytes()))


_EMPTY: Final = _Page(b"", array("I", [0]) * (PAGE + 1))


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
        (reply,) = self.of_each((label,))
        return reply

    def of_each(self, labels: Iterable[int]) -> list[bytes]:
        """The replies of some labels, in their order."""
        pages, replies = self.pages, list[bytes]()
        for label in labels:
            place, slot = divmod(label, PAGE)
            if place < len(pages):
                page = pages[place]
                replies.append(page.data[page.ends[slot] : page.ends[slot + 1]])
            else:
                replies.append(b"")
        return replies

    def begins(self, label: int, prefix: bytes) -> bool:
        """Whether the reply of a label begins with some bytes, which are no reply's whole length."""
        place = label // PAGE
        if place >= len(self.pages):
            return False
        page, slot = self.pages[place], label % PAGE
        return page.data.startswith(prefix, page.ends[slot], page.ends[slot + 1])

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
