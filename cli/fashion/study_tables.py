"""What studies found, on a terminal."""

from typing import Any

from cli.output import console, print_table


def print_tuning(body: dict[str, Any]) -> None:
    """The best of each phase, the best of all, and how sure that is."""
    from trainer.tuning.markdown import advice_of
    from trainer.tuning.spaces import named

    rows: list[tuple[object, ...]] = []
    for phase in body["phases"]:
        best = phase["best"]
        counts = f"{phase['finished']}/{phase['planned']}"
        if best is None:
            rows.append((phase["phase"], counts, phase["pruned"], "", ""))
            continue
        tried = ", ".join(f"{name} {value}" for name, value in best["parameters"].items())
        rows.append((phase["phase"], counts, phase["pruned"], f"{best['value']:.4f}", tried))
    columns = ("phase", "#trials", "#given up", f"#best {body['objective']}", "by")
    print_table(f"tuning on {body['split']['val']} garments to validate on", columns, rows)
    if body["best"] is not None:
        settings = ", ".join(f"{name} {value}" for name, value in named(body["best"]["settings"]).items())
        console.print(f"best {body['best']['value']:.4f}: {settings}", markup=False, highlight=False)
    console.print(advice_of(body), markup=False, highlight=False)


def print_temperatures(body: dict[str, Any]) -> None:
    """A row a temperature, and the recommendation."""
    rows = [
        (
            f"{row['temperature']:g}",
            *(f"{row[name]:.3f}" for name in ("recall@1", "recall@5", "recall@10", "mrr")),
            f"{row['positive_similarity']:.3f}",
            "" if row["negative_similarity"] is None else f"{row['negative_similarity']:.3f}",
            f"{row['seconds']:.1f}",
        )
        for row in body["temperatures"]
    ]
    columns = ("temperature", "#Recall@1", "#Recall@5", "#Recall@10", "#MRR", "#own picture", "#others", "#s")
    print_table(f"{body['budget']['epochs']} epochs each, {body['split']['val']} garments", columns, rows)
    console.print(body["recommendation"]["told"], markup=False, highlight=False)
