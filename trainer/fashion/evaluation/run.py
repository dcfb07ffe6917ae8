"""A trained run judged on a folder of garments, written down beside it (F-12 to F-16)."""

from pathlib import Path
from typing import Any, Literal

from model_store.durable import write_text
from trainer.errors import InvalidData
from trainer.fashion.evaluation.charts import draw_evaluation
from trainer.fashion.evaluation.markdown import markdown_of
from trainer.fashion.evaluation.report import Yardstick, evaluate_encoder
from trainer.fashion.train import RESULTS
from trainer.fashion.trained_run import TrainedRun, encode_garments, read_prepared
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

EVALUATION_FILE, MARKDOWN_FILE, GROUPS_FILE = "evaluation.json", "evaluation.md", "query_groups.json"

Split = Literal["train", "val", "all"]


def evaluate_run(
    run: TrainedRun, data: Path, space: Workspace, *, split: Split = "val", probes: bool = True
) -> dict[str, Any]:
    """The report, as written to `results/evaluation.json`, with Markdown, charts and the groups beside it.

    Raises InvalidData: when the garments or their pictures cannot be read, or the split holds fewer than two.
    """
    prepared = read_prepared(data, run)
    garments = prepared.part(split)
    if len(garments) < 2:
        raise InvalidData(f"{data}: {split} holds {len(garments)} garments; to be told apart they must be 2")
    encoded = encode_garments(run.encoder, run, garments, space)
    yardstick = None
    # Asked about what they were fitted on, probes would be told too good.
    if probes and split == "val":
        learnt = encode_garments(run.encoder, run, prepared.train, space)
        yardstick = Yardstick(garments=prepared.train, picture_ND=learnt.picture_ND)
    body: dict[str, Any] = {
        "split": split,
        "trained_on": prepared.trained_on,
        "image": {"version": str(run.image), "space_id": run.image.space_id},
        "epoch": run.body["epoch"],
        **evaluate_encoder(encoded, run.core, yardstick),
    }
    results = space.out / RESULTS
    draw_evaluation(results, body, encoded)
    write_text(results / MARKDOWN_FILE, markdown_of(body))
    write_report(results / GROUPS_FILE, body["query_groups"])
    return write_report(results / EVALUATION_FILE, body)
