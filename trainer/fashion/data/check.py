"""A K-Fashion folder looked through before days are spent on it: nothing is written (F-1, F-2)."""

from collections import Counter
from typing import Any

from inference.attributes import AttributeSchema, normalise_text
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.data_report import EXAMPLES, Exclusions, Problem
from trainer.fashion.data.kfashion import KFashion
from trainer.fashion.data.prepare_kfashion import Cutting, cut_garments
from trainer.loop.progress import Progress


def check_kfashion(
    dataset: KFashion, config: FashionConfig, progress: Progress, *, pictures: bool = True
) -> dict[str, Any]:
    """Counts of garments, looks, words that the vocabulary lacks, and all that cannot be used, with examples.

    pictures: decode every photograph and cut its garments in memory; otherwise only label files are read.
    """
    schema, exclusions, looks = (
        AttributeSchema(config.attributes.preprocessing()),
        Exclusions(),
        Counter[str](),
    )
    known = {
        field.name: {normalise_text(word, schema.spelling) for word in field.vocabulary}
        for field in schema.fields
    }
    unknown: dict[str, Counter[str]] = {}
    garments = 0
    for photographed in dataset.photographs():
        if not isinstance(photographed, Problem):
            looks[photographed.label.look] += 1
            garments += len(photographed.label.garments)
            for garment in photographed.label.garments:
                _count_unknown(schema, known, dict(garment.attributes), unknown)
        elif not pictures:
            exclusions.add(photographed)
    if pictures:
        cutting = Cutting(folder=None, limits=config.pictures.limits())
        garments = sum(1 for _ in cut_garments(dataset, schema, cutting, exclusions, progress))
    return {
        "label_files": dataset.count(),
        "garments": garments,
        "photographs": sum(looks.values()),
        "looks": len(looks),
        "in_looks": sum(count for count in looks.values() if count > 1),
        "unknown_words": {name: sum(words.values()) for name, words in sorted(unknown.items())},
        "unknown_examples": {
            name: dict(words.most_common(EXAMPLES)) for name, words in sorted(unknown.items())
        },
        **exclusions.report(),
    }


def _count_unknown(
    schema: AttributeSchema,
    known: dict[str, set[str]],
    attributes: dict[str, Any],
    unknown: dict[str, Counter[str]],
) -> None:
    for name, words in schema.normalise(attributes, unknown="drop").items():
        strange = [word for word in words if word not in known[name]]
        if strange:
            unknown.setdefault(name, Counter()).update(strange)
