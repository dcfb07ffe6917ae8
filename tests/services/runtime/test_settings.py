"""Settings that cannot be used end a process at once, in one line (S-5, M-5)."""

import pytest

from services.runtime.settings import ServiceSettings, read_settings


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("ATELIER_POLL_S", "often", "ATELIER_POLL_S: Input should be a valid number"),
        ("ATELIER_LIMITS__IMAGE_BYTES", "0", "ATELIER_LIMITS__IMAGE_BYTES: "),
        ("ATELIER_STORE", "s3://bucket/models", "ATELIER_STORE: s3 stores are not built in"),
        ("ATELIER_STORE", "gs://bucket", "ATELIER_STORE: gs stores are not built in"),
    ],
)
def test_a_bad_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, line: str
) -> None:
    """The line names the variable, the process ends with 2."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as ended:
        read_settings(ServiceSettings)

    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith(line)
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ATELIER_STOER", "ATELIER_STOER: no setting has this name, did you mean ATELIER_STORE?"),
        ("ATELIER_LIMITS__MESSAGE_IMAGE", "did you mean ATELIER_LIMITS__MESSAGE_IMAGES?"),
        ("ATELIER_RECOMMENDER_QUEUE", "did you mean ATELIER_RECOMMEND_QUEUE?"),
        ("atelier_poll", "atelier_poll: no setting has this name, did you mean ATELIER_POLL_S?"),
        ("ATELIER_Q", "ATELIER_Q: no setting has this name; docs/settings.md lists all"),
    ],
)
def test_an_unknown_setting_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, line: str
) -> None:
    """A variable that nothing reads ends the process with 2 and the closest name that exists (S-13)."""
    monkeypatch.setenv(name, "1")

    with pytest.raises(SystemExit) as ended:
        read_settings(ServiceSettings)

    assert ended.value.code == 2
    assert line in capsys.readouterr().err.splitlines()[0]


def test_each_unknown_setting_has_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several are all named; those of other services, of tests and of other programs are not (S-13)."""
    for name in ("ATELIER_A", "ATELIER_B", "ATELIER_EMBEDDER_WORKERS", "ATELIER_TEST_CA", "OTHER_C"):
        monkeypatch.setenv(name, "1")

    with pytest.raises(SystemExit):
        read_settings(ServiceSettings)

    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "ATELIER_A",
        "ATELIER_B",
    ]


def test_good_settings_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory and numbers in range are taken."""
    monkeypatch.setenv("ATELIER_STORE", "var/other")

    assert str(read_settings(ServiceSettings).store) == "var/other"
