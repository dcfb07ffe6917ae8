import io

from trainer.loop.progress import bars


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_a_minute_with_the_time_left():
    """Epoch, figure and time left, and no more than a line in 60 seconds."""
    stream, clock = io.StringIO(), Clock()

    with bars(stream, clock) as progress:
        for epoch in range(1, 41):
            clock.now = epoch * 10.0
            progress("artwork training", epoch, 100, f"val/loss 0.{epoch:03d}")

    assert stream.getvalue().splitlines() == [
        "artwork training: 7 of 100, val/loss 0.007, 16 min left",
        "artwork training: 13 of 100, val/loss 0.013, 14 min left",
        "artwork training: 19 of 100, val/loss 0.019, 14 min left",
        "artwork training: 25 of 100, val/loss 0.025, 12 min left",
        "artwork training: 31 of 100, val/loss 0.031, 12 min left",
        "artwork training: 37 of 100, val/loss 0.037, 10 min left",
    ]


def test_a_new_stage_has_a_minute_of_its_own():
    """Stages that are over within a minute write nothing."""
    stream, clock = io.StringIO(), Clock()

    with bars(stream, clock) as progress:
        for stage in ("reading", "encoding", "testing"):
            for done in (1, 2):
                clock.now += 25.0
                progress(stage, done, 2)
        for done in (5000, 5001):
            clock.now += 7200.0
            progress("long", done, 5003)

    assert stream.getvalue() == "long: 5001 of 5003, 4 h 0 min left\n"


def test_a_terminal_gets_a_bar_a_stage():
    """With the name of the stage and its figure."""
    stream = Terminal()

    with bars(stream) as progress:
        progress("reading", 3, 3)
        progress("artwork training", 2, 2, "val/loss 0.250")

    assert "reading: 100%" in stream.getvalue()
    assert "val/loss 0.250" in stream.getvalue()
