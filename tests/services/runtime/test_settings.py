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


def test_good_settings_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory and numbers in range are taken."""
    monkeypatch.setenv("ATELIER_STORE", "var/other")

    assert str(read_settings(ServiceSettings).store) == "var/other"
