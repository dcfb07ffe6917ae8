"""TorchScript graphs: loading, running, refusals. torch is imported inside: collecting stays fast."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import DeviceOutOfMemory, InferenceError, RefusedModel
from inference.runtimes.device import CPU, SessionSettings
from inference.runtimes.torchscript import GraphSignature, TorchScriptGraph
from inference.session import Session, open_session
from model_store.manifest import TensorSpec

pytestmark = [
    pytest.mark.slow,
    # The format is deprecated upstream; tests write it as the trainer does.
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning"),
]

HERE = SessionSettings(provider="cpu", threads=1)
SIGNATURE = GraphSignature(
    inputs=(TensorSpec(name="feature_BD", dtype="float32", shape=("batch", 96)),),
    outputs=(TensorSpec(name="vector_BD", dtype="float32", shape=("batch", 64)),),
)


def _write(path: Path, forward: Any = None, signature: str | None = None) -> Path:
    """A scripted module of two layers, or with `forward` in their place."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Linear(96, 64), nn.GELU(), nn.Linear(64, 64)).eval()
    scripted = torch.jit.script(module if forward is None else forward())
    extra = {"signature.json": SIGNATURE.model_dump_json() if signature is None else signature}
    torch.jit.save(scripted, path, _extra_files=extra)
    return path


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return _write(tmp_path / "model.pt")


def _features(count: int) -> dict[str, np.ndarray]:
    return {"feature_BD": np.random.default_rng(1).standard_normal((count, 96)).astype(np.float32)}


def test_a_session_says_what_it_takes_gives_and_runs_on(graph: Path) -> None:
    """Names, types and sizes come from the file; the runtime is torch's version."""
    import torch

    session = open_session(graph, HERE)

    assert (session.inputs, session.outputs) == (SIGNATURE.inputs, SIGNATURE.outputs)
    assert (session.requested, session.actual, session.fell_back) == ("cpu", CPU, False)
    assert session.runtime == f"torch-{torch.__version__}"


def test_no_answer_depends_on_batch_mates_or_on_earlier_runs(graph: Path) -> None:
    """The same row gives the same bits alone, in any batch, first and last (S-9)."""
    session = open_session(graph, HERE)
    first = session.run({name: array[:1] for name, array in _features(33).items()})["vector_BD"]

    for count in (1, 2, 5, 16, 33):
        batch = session.run(_features(count))["vector_BD"] if count == 33 else None
        rows = session.run({name: array[:count] for name, array in _features(33).items()})["vector_BD"]

        assert np.array_equal(rows[:1], first)
        assert batch is None or np.array_equal(batch, rows)
    alone = [session.run({"feature_BD": _features(33)["feature_BD"][i : i + 1]}) for i in range(33)]
    assert np.array_equal(np.concatenate([one["vector_BD"] for one in alone]), rows)


def test_threads_are_those_of_the_session_and_of_no_one_else(tmp_path: Path) -> None:
    """A run uses the count that was asked for, and leaves the caller's as it was."""
    import torch

    class Asking:
        def __call__(self, tensor: Any) -> Any:
            seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled()))
            return tensor

    seen: list[tuple[int, bool]] = []
    before = torch.get_num_threads()
    graph = TorchScriptGraph(Asking(), SIGNATURE, threads=3, cuda=False)

    graph.run(["vector_BD"], _features(1))

    assert seen == [(3, True)]
    assert torch.get_num_threads() == before


def test_an_array_that_cannot_be_written_is_taken(graph: Path) -> None:
    """A read-only input is run without a warning, and not written to."""
    inputs = _features(2)
    inputs["feature_BD"].setflags(write=False)

    assert open_session(graph, HERE).run(inputs)["vector_BD"].shape == (2, 64)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), DeviceOutOfMemory),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), DeviceOutOfMemory),
        (RuntimeError("shapes cannot be multiplied\nmore"), InferenceError),
    ],
)
def test_torch_s_errors_become_ours(error: Exception, kind: type[Exception]) -> None:
    """A full device and inputs that do not fit are different errors, each in one line."""

    def fail(_tensor: Any) -> Any:
        raise error

    with pytest.raises(kind) as caught:
        Session(TorchScriptGraph(fail, SIGNATURE, threads=1, cuda=False), "cpu", fell_back=False).run(
            _features(1)
        )

    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def _saving() -> Any:
    import torch
    from torch import nn

    class Saving(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if bool(x.sum() > 1e9):
                torch.save(x, "/tmp/atelier-witness")
            return x

    return Saving()


def _forking() -> Any:
    import torch
    from torch import nn

    def double(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    class Forking(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.jit.wait(torch.jit.fork(double, x))

    return Forking()


@pytest.mark.parametrize(("make", "operator"), [(_saving, "aten::save"), (_forking, "prim::fork")])
def test_a_graph_that_does_more_than_arithmetic_is_refused(tmp_path: Path, make: Any, operator: str) -> None:
    """Writing files or starting threads, also in a branch that is rarely taken, is refused by its name."""
    path = _write(tmp_path / "model.pt", make)

    with pytest.raises(RefusedModel, match=operator):
        open_session(path, HERE)


@pytest.mark.parametrize("signature", ["", "{}", '{"inputs": [], "outputs": 3}'])
def test_a_file_that_does_not_name_its_tensors_is_refused(tmp_path: Path, signature: str) -> None:
    """A TorchScript of another make is refused, saying what it lacks."""
    with pytest.raises(RefusedModel, match=r"model\.pt does not say what its tensors are"):
        open_session(_write(tmp_path / "model.pt", signature=signature), HERE)


@pytest.mark.parametrize("data", [b"", b"not an archive", None])
def test_a_file_that_is_no_graph_is_refused_by_its_name(tmp_path: Path, data: bytes | None) -> None:
    """Damage is RefusedModel with one line that names the file."""
    path = tmp_path / "model.pt"
    if data is None:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'true'\ntR.")
        data = stream.getvalue()
    path.write_bytes(data)

    with pytest.raises(RefusedModel, match=r"^model\.pt cannot be loaded: .+") as caught:
        open_session(path, HERE)

    assert "\n" not in str(caught.value)


def test_without_torch_the_extra_is_named(graph: Path) -> None:
    """Where torch cannot be imported, opening a TorchScript graph names the extra; ONNX needs none of it."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from inference.errors import UnsupportedFormat\n"
        "from inference.session import SessionSettings, open_session, runtime_version\n"
        "print(runtime_version('onnx'))\n"
        "try:\n"
        f"    open_session(Path({str(graph)!r}), SessionSettings())\n"
        "except UnsupportedFormat as error:\n"
        "    print(error)\n"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.splitlines()[0].startswith("onnxruntime-")
    assert done.stdout.splitlines()[1] == "TorchScript needs the extra 'torchscript': it is not installed"
