"""A small shop's photographs: drawn garments, sent by a few people, labelled by category."""

import csv
from pathlib import Path

from trainer.synthetic.garments import draw_garment


def write_photographs(directory: Path, count: int = 60, senders: int = 10) -> tuple[Path, Path]:
    """Table and folder of `count` pictures from `senders` people."""
    images = directory / "images"
    images.mkdir(parents=True)
    table = directory / "images.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "sender_id", "label", "kids"))
        for number in range(count):
            garment = draw_garment(5, number, 96)
            garment.picture.save(images / f"photo-{number}.jpg", quality=90)
            colour = garment.record["colour"]
            label = "dark" if colour in ("블랙", "네이비", "브라운", "와인", "카키") else "light"
            writer.writerow((f"photo-{number}", number % senders, label, False))
    return table, images
