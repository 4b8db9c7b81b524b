"""Which embedding model the settings ask for."""

from __future__ import annotations

from typing import Any

from aisdk.settings import Settings

__all__ = ["choose_embedder"]


def choose_embedder(settings: Settings) -> Any:
    """The embedding model that the settings ask for; ``None`` where there is none.

    Raises:
        ConfigError: It is asked for and cannot be had.
    """
    kind = settings.embedding
    if kind == "auto":
        kind = "remote" if settings.embedding_url else "minilm"
        return _remote(settings) if kind == "remote" else _minilm(settings, needed=False)
    if kind == "remote":
        return _remote(settings)
    return _minilm(settings, needed=True) if kind == "minilm" else None


def _remote(settings: Settings) -> Any:
    from aisdk.errors import ConfigError
    from aisdk.integrations.openai_compatible import OpenAICompatible

    if settings.embedding_url is None or settings.embedding_model is None:
        raise ConfigError(
            "A remote embedding model is asked for, but not named.",
            hint="Set AISDK_EMBEDDING_URL and AISDK_EMBEDDING_MODEL.",
        )
    return OpenAICompatible(
        url=settings.embedding_url,
        model=settings.embedding_model,
        dimension=settings.embedding_dimension,
        api_key=settings.embedding_api_key,
    )


def _minilm(settings: Settings, *, needed: bool) -> Any:
    from aisdk.errors import ConfigError
    from aisdk.integrations.minilm import MiniLM, find_weights

    try:
        weights = find_weights(settings.minilm_path)
        if weights is None and not needed:
            return None
        return MiniLM(weights=weights, home=settings.home, precision=settings.embedding_precision)
    except ConfigError:
        if needed or settings.minilm_path is not None:
            raise
        return None
