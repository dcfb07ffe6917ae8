"""The device of a process."""

from services.embedder.device import choose_device, machine_memory_bytes


def test_zeros_stand_for_the_defaults_of_the_machine():
    """Many one-thread workers on a CPU, unless told otherwise."""
    device = choose_device("cpu", threads=4, workers=0, batch_cost=0)

    assert (device.workers, device.threads, device.batch_cost, device.lone) == (4, 1, 1024, True)
    assert choose_device("cpu", threads=4, workers=1, batch_cost=9).threads == 4
    assert not choose_device("cpu", threads=4, workers=1, batch_cost=9).lone
    assert machine_memory_bytes() > 1 << 28
