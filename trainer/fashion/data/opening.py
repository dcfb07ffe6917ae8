"""A prepared folder opened: its garments, and the settings with the words that it brings."""

from pathlib import Path

from inference.attributes import AttributeSchema
from trainer.fashion.config import FashionConfig, known_tables
from trainer.fashion.data.prepare import RECORDS
from trainer.fashion.data.prepared_data import GarmentRecord, read_records
from trainer.fashion.data.vocabularies import read_vocabulary


def open_garments(data: Path, config: FashionConfig) -> tuple[FashionConfig, tuple[GarmentRecord, ...]]:
    """The settings with the folder's own vocabulary, if it has one, and its garments.

    Raises InvalidData: when either cannot be read, listing every bad line.
    """
    attributes = read_vocabulary(data, config.attributes)
    if attributes is not config.attributes:
        tables = known_tables(config.augmentation, attributes)
        config = config.model_copy(update={"attributes": attributes, "augmentation": tables})
    schema = AttributeSchema(config.attributes.preprocessing())
    return config, read_records(data / RECORDS, data, schema)
