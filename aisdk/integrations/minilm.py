"""The embedding model all-MiniLM-L6-v2 on ONNX Runtime, without PyTorch."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aisdk.core.runtime.turns import Turns
from aisdk.errors import ClientClosed, ConfigError
from aisdk.integrations.minilm_graph import (
    DIMENSION,
    MAX_WORD_PIECES,
    Precision,
    build_graph,
    read_weights,
)
from aisdk.integrations.minilm_weights import (
    REMEDY,
    TOKENIZER,
    WEIGHTS,
    check_digest,
    find_weights,
    sha256,
)
from aisdk.integrations.workers import share_out

__all__ = ["MiniLM", "find_weights"]

NAME: Final = "all-MiniLM-L6-v2"
GRAPH_VERSION: Final = 1  # raise it when build_graph changes: older graphs are then left alone
BATCH_PIECES: Final = 256  # of one inference: enough to be efficient, small enough for a cache
TEXTS_AT_ONCE: Final = 512  # tokenised together and grouped by length among each other
NO_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"
PACKAGES: Final = ("onnx", "onnxruntime", "tokenizers")

Vectors = NDArray[np.float32]


class MiniLM:
    """Embeds texts with all-MiniLM-L6-v2, giving the vectors that sentence-transformers gives.

    The model is loaded by the first ``embed`` or by ``warm``, in a thread. Texts are cut after
    256 word pieces.

    Args:
        weights: Folder with the published ``model.safetensors`` and ``tokenizer.json``, as
            ``find_weights`` finds it.
        home: Folder under which the prepared graph is kept, in ``models``.
        precision: ``fp32``, or ``int8`` for about twice the speed and slightly other vectors.

    Raises:
        ConfigError: There are no weights, or a package of ``aisdk[minilm]`` is missing.

    Example:
        >>> embedder = MiniLM(weights=find_weights(None), home=client.settings.home)
        >>> (await embedder.embed(["How do I parse a date?"])).shape
        (1, 384)
    """

    def __init__(self, *, weights: Path | None, home: Path, precision: Precision = "fp32") -> None:
        _require_packages()
        if weights is None:
            raise ConfigError("The weights of MiniLM are not on this machine.", hint=REMEDY)
        self._weights = weights
        self._graph = home / "models" / f"{NAME}-{precision}-{GRAPH_VERSION}.onnx"
        self._precision: Precision = precision
        self._loaded: _Loaded | None = None
        self._loading = threading.Lock()
        self._cores = usable_cores()
        self._turns = Turns(self._cores, "core for the embedding model")
        self._closed = False

    @property
    def model(self) -> str:
        """The name recorded with vectors: ``all-MiniLM-L6-v2/fp32`` or ``…/int8``."""
        return f"{NAME}/{self._precision}"

    @property
    def dimension(self) -> int:
        """The length of a vector: 384."""
        return DIMENSION

    async def warm(self) -> None:
        """Loads the model if it is not loaded yet, so that the first ``embed`` need not wait.

        Raises:
            ConfigError: The weights are not the published ones, or the graph cannot be kept.
        """
        await asyncio.to_thread(self._load)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 per text, in the order of the texts.

        Args:
            texts: Any number of texts; an empty text has a vector too.

        Returns:
            float32 array of shape ``(len(texts), 384)``, C-contiguous.

        Raises:
            ConfigError: The weights are not the published ones, or the graph cannot be kept.
            ClientClosed: The embedder is closed.
        """
        loaded = self._loaded
        if loaded is None:
            loaded = await asyncio.to_thread(self._load)
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[start : start + TEXTS_AT_ONCE]
            await self._embed_some(loaded, some, vectors[start : start + TEXTS_AT_ONCE])
        return vectors

    def forget(self) -> None:
        """After a fork: the runtime's threads are the parent's, so the model is loaded anew."""
        self._loaded = None
        self._loading = threading.Lock()

    async def close(self) -> None:
        """Lets go of the model; a running inference ends by itself. May be called twice."""
        self._closed = True
        self._loaded = None

    async def _embed_some(self, loaded: _Loaded, texts: Sequence[str], into: Vectors) -> None:
        """Fills the rows of ``into``, a batch a core; a cancelled call stops between batches."""
        pieces = await self._turns.thread(loaded.pieces, texts)

        async def work(batch: list[int]) -> None:
            ids = np.array([pieces[index] for index in batch], np.int32)
            into[batch] = await self._turns.thread(loaded.infer, ids)

        batches = plan_batches([len(ids) for ids in pieces], BATCH_PIECES)
        await share_out(work, batches, min(self._cores, len(batches)))

    def _load(self) -> _Loaded:
        with self._loading:
            if self._closed:
                raise ClientClosed(hint="Connect again.")
            if self._loaded is None:
                prepare_graph(self._weights, self._graph, self._precision)
                self._loaded = _Loaded(self._graph, self._weights / TOKENIZER)
            return self._loaded


class _Loaded:
    """The model in memory; its methods block."""

    def __init__(self, graph: Path, tokenizer: Path) -> None:
        os.environ.setdefault(NO_TELEMETRY, "1")  # else it tells Microsoft of this process
        import onnxruntime

        self._tokenizer = load_tokenizer(tokenizer)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # every core works on a batch of its own
        options.enable_mem_pattern = False  # a plan for every shape of a batch, never given back
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """The word pieces of each text, at most 256.

        Text by text, because the tokenizer's own threads complain in every forked child.
        """
        return [self._tokenizer.encode(_well_formed(text)).ids for text in texts]

    def infer(self, ids: NDArray[np.int32]) -> Vectors:
        """The vectors of texts of equal length, given as rows of word pieces."""
        vectors: Vectors = self._session.run(None, {"ids": ids})[0]
        return vectors


def load_tokenizer(file: Path) -> Any:
    """The published tokenizer, cutting after 256 word pieces and padding nothing.

    Raises:
        ConfigError: The file is not the published one.
    """
    from tokenizers import Tokenizer

    check_digest(file)
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(MAX_WORD_PIECES)
    tokenizer.no_padding()
    return tokenizer


def plan_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Groups texts of equal length, so that none is padded, within a budget of word pieces.

    Args:
        lengths: Word pieces of each text.
        budget: The most that a batch may hold; a text longer than it goes alone.

    Returns:
        The indices of the texts, each exactly once, the shortest texts first.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        fits = batches and (len(batches[-1]) + 1) * length <= budget
        if fits and lengths[batches[-1][0]] == length:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def prepare_graph(weights: Path, graph: Path, precision: Precision) -> None:
    """Makes sure that the graph is there and whole, building it from verified weights if not.

    Several processes may do so at once: each writes a file of its own and puts it in place.

    Raises:
        ConfigError: The weights are not the published ones, or the folder cannot be written.
    """
    digest = graph.with_suffix(".sha256")
    if _is_whole(graph, digest):
        return
    check_digest(weights / WEIGHTS)
    model = build_graph(read_weights(weights / WEIGHTS), precision)
    try:
        graph.parent.mkdir(parents=True, exist_ok=True)
        _put(graph, model)
        _put(digest, sha256(graph).encode())
    except OSError as error:
        raise ConfigError(
            f"The prepared model cannot be kept in {graph.parent}.",
            hint="Set AISDK_HOME to a folder that can be written and has 100 MB free.",
        ) from error


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_whole(graph: Path, digest: Path) -> bool:
    try:
        return digest.read_text() == sha256(graph)
    except (OSError, UnicodeDecodeError):
        return False


def _put(path: Path, content: bytes) -> None:
    """Replaces a file in one step, leaving nothing behind when that fails."""
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _well_formed(text: str) -> str:
    """The text with lone surrogates, which the tokenizer refuses, replaced by ``?``."""
    return text.encode("utf-8", "replace").decode()


def _require_packages() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"MiniLM needs the packages {', '.join(missing)}.",
            hint='Run `pip install "aisdk[minilm]"`.',
        )
