import pytest

from tests.services.gateway.house import drawing
from tests.services.gateway.page.sample_runs import write_runs


@pytest.fixture(scope="module")
def runs(house):
    """Training runs below the folder that the gateway reads."""
    pictures = [house.folder / f"garment-{number}.jpg" for number in range(60)]
    for number, path in enumerate(pictures):
        path.write_bytes(drawing(number))
    write_runs(house.folder / "runs", pictures)


@pytest.fixture
def listed(client, runs):
    return client.get("/api/runs").json()["runs"]


def test_runs_are_listed_page_by_page(client, listed):
    """Each page says how many there are and what comes next. (D-1)"""
    first = client.get("/api/runs", params={"page_size": 1}).json()
    second = client.get("/api/runs", params={"page_size": 1, "page_token": first["next_page_token"]}).json()

    assert first["total_count"] == len(listed)
    assert [first["runs"][0]["run_id"], second["runs"][0]["run_id"]] == [run["run_id"] for run in listed[:2]]
    assert {"kind", "state", "epoch", "max_epochs", "headline"} <= listed[0].keys()


def test_a_dashboard_has_its_five_parts(client, listed):
    """The contract's keys are there, curves no longer than asked for, and gzip halves what is sent. (D-1)"""
    run_id = listed[0]["run_id"]

    answer = client.get("/api/dashboard", params={"run_id": run_id, "points": 50})

    body = answer.json()
    assert {"kpi", "loss_curve", "top_k_images", "hyperparams", "augmented_samples"} <= body.keys()
    assert all(len(values) <= 50 for values in body["loss_curve"]["series"].values())


def test_pictures_of_a_run_are_those_that_it_names(client, listed):
    """A named picture is sent with its type and tag; any other file of the run is not. (D-1)"""
    for run in listed:
        body = client.get("/api/dashboard", params={"run_id": run["run_id"]}).json()
        named = [sample["image"] for sample in body["augmented_samples"] if sample["image"]]
        if named:
            break
    place = f"/api/runs/{run['run_id']}/files"

    answer = client.get(f"{place}/{named[0]}")
    again = client.get(f"{place}/{named[0]}", headers={"if-none-match": answer.headers["etag"]})

    assert answer.headers["content-type"].startswith("image/")
    assert again.status_code == 304
    assert client.get(f"{place}/results/run.json").status_code == 404


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"run_id": "none-such"}, 404),
        ({"run_id": "../models"}, 400),
        ({"run_id": "/etc"}, 400),
        ({}, 400),
    ],
)
def test_a_run_that_is_not_there(client, runs, parameters, status):
    """An unknown run is 404, and no id leads out of the folder of runs. (D-1)"""
    assert client.get("/api/dashboard", params=parameters).status_code == status


def test_a_damaged_document_is_a_problem(client, runs, house):
    """The run is named and the gateway answers on. (D-1)"""
    folder = house.folder / "runs" / "damaged" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{")
    (folder / "dashboard.json").write_text("{")

    answer = client.get("/api/dashboard", params={"run_id": "damaged"})

    assert (answer.status_code, answer.json()["reason"]) == (500, "UNREADABLE_RUN")
    assert client.get("/api/runs").status_code == 200
