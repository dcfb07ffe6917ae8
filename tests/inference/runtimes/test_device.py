"""Devices: settings in range, cores of this process, names for stamps, a full device recognised."""

import os
from pathlib import Path
from typing import Any

import pytest

from inference.runtimes import device
from inference.runtimes.device import (
    CPU,
    CUDA,
    CudaDevices,
    SessionSettings,
    cores,
    device_name,
    is_out_of_memory,
)


@pytest.mark.parametrize("options", [{"provider": "tpu"}, {"threads": -1}])
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """A provider that is unknown or a negative thread count is refused at once."""
    with pytest.raises(ValueError, match=r"tpu|-1"):
        SessionSettings(**options)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system sets no affinity")
def test_cores_are_those_that_this_process_may_use() -> None:
    """A process bound to one core counts one, however many the machine has."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})

        assert cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert cores() == len(allowed)


@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", None), ("150000 100000", 2), ("100000 100000", 1), ("5000 100000", 1), ("damaged", None)],
)
def test_cores_are_no_more_than_the_quota_of_the_control_group(
    quota: str, count: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container with a share of the machine counts that share, rounded up."""
    allowed = {0, 1, 2, 3}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    monkeypatch.setattr(device, "_CGROUP_CPU", tmp_path / "cpu.max")
    assert cores() == 4
    (tmp_path / "cpu.max").write_text(quota + "\n")

    assert cores() == (count or 4)


def test_a_stamp_names_the_device_behind_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs of another kind never share a stamp; every CPU is the same."""
    monkeypatch.setattr(device, "cuda_devices", lambda: CudaDevices(count=1, name="NVIDIA H100"))

    assert (device_name(CUDA), device_name(CPU)) == ("NVIDIA H100", "cpu")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("invalid shape"), False),
    ],
)
def test_a_full_device_is_recognised_by_class_or_words(error: Exception, full: bool) -> None:
    """Python's own MemoryError counts as a full device, any other failure does not."""
    assert is_out_of_memory(error) is full
