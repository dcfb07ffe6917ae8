"""Random histories of a collection: the log that a catalog would write, and a plain dict as its model."""

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from services.recommender.catalog.items import Item
from services.recommender.catalog.log import Flip, LogEntry, Snapshot

IDS = [f"sku-{number}" for number in range(6)]
WORDS = ["red", "blue", "retro", "니트", "a b"]
FIELDS = ["colour", "style", "price", "length", "organic"]

values = st.one_of(
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(WORDS), max_size=3),
    st.integers(-3, 3),
    st.floats(-3, 3, allow_nan=False).map(lambda number: round(number, 1)),
    st.booleans(),
)
records = st.dictionaries(st.sampled_from(FIELDS), values, max_size=4)
times = st.integers(-2, 5).map(lambda days: days * 86_400_000_000)


@dataclass
class History:
    """A collection's items and log. Labels start far apart, so that several chunks are in play."""

    items: dict[str, Item] = field(default_factory=dict)
    entries: list[LogEntry] = field(default_factory=list)
    last_label: int = 1_000
    generation: int = 0

    @property
    def revision(self):
        return len(self.entries)

    def write(self, item_id, attributes, released_us, in_stock, product_id, *, keeps_label, gap=1):
        old = self.items.get(item_id)
        if old is None or not keeps_label:
            self.last_label += gap
        label = old.label if old is not None and keeps_label else self.last_label
        item = Item(
            item_id=item_id,
            attributes=attributes,
            released_us=released_us,
            in_stock=in_stock,
            picture_digest="",
            source=f"v:{label}",
            label=label,
            revision=self.revision + 1,
            product_id=product_id,
        )
        self.items[item_id] = item
        self.entries.append(LogEntry(revision=item.revision, item_id=item_id, item=item))

    def delete(self, item_id):
        if self.items.pop(item_id, None) is not None:
            self.entries.append(LogEntry(revision=self.revision + 1, item_id=item_id))

    def flip(self):
        self.generation += 1
        flip = Flip(
            generation=self.generation, space_id="s", lead_name="lead", lead_version=1, lead_digest="d"
        )
        self.entries.append(LogEntry(revision=self.revision + 1, flip=flip))

    def snapshot(self):
        items = sorted(self.items.values(), key=lambda item: item.label)
        return Snapshot(revision=self.revision, generation=self.generation, items=items)


@st.composite
def histories(draw):
    history = History()
    for _ in range(draw(st.integers(0, 25))):
        match draw(st.sampled_from(["write", "write", "write", "delete", "flip"])):
            case "write":
                history.write(
                    draw(st.sampled_from(IDS)),
                    draw(records),
                    draw(times),
                    draw(st.booleans()),
                    draw(st.sampled_from(["", "p1", "p2"])),
                    keeps_label=draw(st.booleans()),
                    gap=draw(st.sampled_from([1, 1, 130, 1_100])),
                )
            case "delete":
                history.delete(draw(st.sampled_from(IDS)))
            case "flip":
                history.flip()
    return history


def stock(count, **changes):
    """A history of that many different garments, written one after another."""
    history = History(last_label=0)
    for number in range(count):
        record = {
            "category": ("knit", "skirt", "coat", "boots")[number % 4],
            "colour": f"colour {number % 20}",
            "price": number % 1_000 / 10,
            "name": f"garment {number}",
        }
        history.write(f"sku-{number:06}", record, number * 1_000_000, number % 2 == 0, "", keeps_label=False)
    history.entries = [replace(entry, **changes) for entry in history.entries]
    return history
