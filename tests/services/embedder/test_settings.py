"""The settings of the embedder."""

from services.embedder.settings import EmbedderSettings


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    """ATELIER_ variables reach the settings; bounds of images too."""
    monkeypatch.setenv("ATELIER_EMBEDDER_PORT", "0")
    monkeypatch.setenv("ATELIER_STORE", str(tmp_path))
    monkeypatch.setenv("ATELIER_EMBEDDER_MEMORY_BYTES", "12345")
    monkeypatch.setenv("ATELIER_LIMITS__IMAGE_BYTES", "99")

    settings = EmbedderSettings()

    assert (settings.embedder_port, settings.store, settings.embedder_memory_bytes) == (0, tmp_path, 12345)
    assert settings.limits.image_bytes == 99
