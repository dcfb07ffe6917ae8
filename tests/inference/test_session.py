"""Sessions: providers, fall-back, specs, errors."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import session as sessions
from inference.errors import InferenceError, RefusedModel
from inference.runtimes.device import CPU, CudaDevices, SessionSettings
from inference.session import open_session

HERE = SessionSettings(provider="cpu", threads=1)


@pytest.fixture
def graph(workshop: Any) -> Path:
    return workshop.draft("image").graph["model.onnx"]


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "cuda_devices", lambda: CudaDevices(count=0, name=""))


def test_a_session_says_what_it_takes_and_gives(graph: Path) -> None:
    """Names, types and sizes come from the graph; a size that varies has a name."""
    session = open_session(graph, HERE)

    assert [(s.name, s.dtype, s.shape) for s in session.inputs] == [("image_BHWC", "uint8", ("B", 28, 28, 3))]
    assert [(s.name, s.dtype, s.shape) for s in session.outputs] == [("vector_BD", "float32", ("B", 16))]
    assert (session.requested, session.actual, session.fell_back) == ("cpu", CPU, False)


def test_outputs_come_by_name(workshop: Any) -> None:
    """A graph of two outputs gives both."""
    session = open_session(workshop.draft("vector").graph["model.onnx"], HERE)

    outputs = session.run({"feature_BD": np.zeros((3, 16), np.float32)})

    assert {name: value.shape for name, value in outputs.items()} == {"embedding_BD": (3, 8), "score_B": (3,)}


@pytest.mark.usefixtures("no_device")
def test_cuda_without_a_device_runs_on_the_cpu_and_says_so(
    graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An asked-for accelerator that is not there is a logged fall-back, never a silent one."""
    with caplog.at_level(logging.WARNING):
        session = open_session(graph, SessionSettings(provider="cuda", threads=1))

    assert (session.requested, session.actual, session.fell_back) == ("cuda", CPU, True)
    assert "runs on the CPU" in caplog.text


@pytest.mark.usefixtures("no_device")
def test_auto_without_a_device_is_the_cpu_and_no_fall_back(
    graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a device, "auto" means the CPU: nothing was lost, so nothing is logged."""
    session = open_session(graph, SessionSettings(provider="auto", threads=1))

    assert (session.actual, session.fell_back) == (CPU, False)
    assert not caplog.records


@pytest.mark.skipif(sessions.cuda_devices().count > 0, reason="CUDA starts here")
def test_a_device_whose_runtime_does_not_start_is_a_fall_back(
    graph: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver that reports a device is not believed: what the session got is what counts."""
    monkeypatch.setattr(sessions, "cuda_devices", lambda: CudaDevices(count=1, name="imagined"))

    with caplog.at_level(logging.WARNING):
        session = open_session(graph, SessionSettings(provider="auto", threads=1))

    assert (session.actual, session.fell_back) == (CPU, True)
    assert "runs on the CPU" in caplog.text


def test_weights_beside_the_graph_are_loaded_from_its_directory(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """External data loads whatever the working directory is."""
    draft = workshop.draft("image", external=True)
    monkeypatch.chdir(tmp_path)

    session = open_session(draft.graph["model.onnx"], HERE)

    assert draft.graph["model.onnx.data"].stat().st_size > 1000
    assert session.run({"image_BHWC": np.zeros((1, 28, 28, 3), np.uint8)})["vector_BD"].shape == (1, 16)


def test_a_file_that_is_no_graph_is_refused_by_its_name(tmp_path: Path) -> None:
    """A damaged graph is RefusedModel with one line that names the file."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a graph")

    with pytest.raises(RefusedModel, match=r"^model\.onnx cannot be loaded: .+") as caught:
        open_session(path, HERE)

    assert "\n" not in str(caught.value)


def test_wrong_inputs_are_an_error_of_one_line(graph: Path) -> None:
    """A shape that the graph does not take is an InferenceError, not a runtime's own class."""
    session = open_session(graph, HERE)

    with pytest.raises(InferenceError, match="the graph cannot be run") as caught:
        session.run({"image_BHWC": np.zeros((1, 3, 3, 3), np.uint8)})

    assert "\n" not in str(caught.value)
