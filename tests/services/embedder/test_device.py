"""The device of a process."""

from inference.runtimes.device import CudaDevices
from services.embedder import device as devices
from services.embedder.device import choose_device, machine_memory_bytes


def test_zeros_stand_for_the_defaults_of_the_machine():
    """Many one-thread workers on a CPU, unless told otherwise."""
    device = choose_device("cpu", threads=4, workers=0, batch_cost=0)

    assert (device.workers, device.threads, device.batch_cost, device.lone) == (4, 1, 1024, True)
    assert choose_device("cpu", threads=4, workers=1, batch_cost=9).threads == 4
    assert not choose_device("cpu", threads=4, workers=1, batch_cost=9).lone
    assert machine_memory_bytes() > 1 << 28


def test_models_are_bound_by_the_memory_of_the_device_that_computes(monkeypatch):
    """Three quarters of the GPU's memory where graphs run on it, of the machine's where they do not (S-9)."""
    gpu = CudaDevices(count=1, name="imagined", memory_bytes=16 << 30)
    monkeypatch.setattr(devices, "cuda_devices", lambda: gpu)

    on_gpu, on_cpu = (
        choose_device(provider, threads=4, workers=0, batch_cost=0) for provider in ("auto", "cpu")
    )

    assert on_gpu.memory_bytes == 12 << 30
    assert on_cpu.memory_bytes == int(0.75 * machine_memory_bytes())
