"""The ONNX graph of all-MiniLM-L6-v2, built from its weights without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIMENSION", "MAX_WORD_PIECES", "Precision", "build_graph", "read_weights"]

Precision = Literal["fp32", "int8"]
Weights = Mapping[str, NDArray[np.float32]]

DIMENSION: Final = 384
MAX_WORD_PIECES: Final = 256
LAYERS: Final = 6
HEADS: Final = 12
EPSILON: Final = 1e-12
OPSET: Final = 20
IR_VERSION: Final = 10
FUSED: Final = "com.microsoft"  # operators that only ONNX Runtime has


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of a safetensors file by name, as views into its bytes.

    Source:
        The safetensors format: eight bytes of header length, a JSON header, then the tensors.
    """
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    return {
        name: np.frombuffer(
            content, np.float32, count=int(np.prod(entry["shape"])), offset=offset
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
        for offset in [start + entry["data_offsets"][0]]
    }


def build_graph(weights: Weights, precision: Precision) -> bytes:
    """The serialised model: word pieces and their mask in, unit vectors out.

    Inputs are ``ids`` and ``mask``, both int32 of shape (texts, pieces); the output ``vectors``
    is float32 of shape (texts, 384): the mean of the last layer over the mask, L2-normalised.

    Args:
        weights: The tensors of the model by their published names.
        precision: ``int8`` stores the large matrices as 8-bit integers with one scale a column.
    """
    graph = _Graph(weights, precision)
    hidden = _embeddings(graph)
    for layer in range(LAYERS):
        hidden = _encoder_layer(graph, hidden, f"encoder.layer.{layer}.")
    _mean_of_unit_length(graph, hidden)
    return graph.serialise()


def _embeddings(graph: _Graph) -> str:
    """Word + position + type, normalised; every text is of type 0."""
    weights = graph.weights
    places = weights["embeddings.position_embeddings.weight"][:MAX_WORD_PIECES]
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    words = graph.op("Gather", graph.weight("embeddings.word_embeddings.weight"), "ids")
    pieces = graph.op("Shape", "ids", start=1, end=2)
    place = graph.op(
        "Slice",
        graph.constant("places", places + kind),
        graph.constant("zero", np.array([0])),
        pieces,
    )
    return graph.normalise(graph.op("Add", words, place), "embeddings.LayerNorm")


def _encoder_layer(graph: _Graph, hidden: str, name: str) -> str:
    """Self-attention and a feed-forward step, each added to its input and normalised."""
    queries, keys, values = (
        graph.linear(hidden, f"{name}attention.self.{part}") for part in ("query", "key", "value")
    )
    attended = graph.op(
        "MultiHeadAttention", queries, keys, values, "", "mask", domain=FUSED, num_heads=HEADS
    )
    attended = graph.linear(attended, f"{name}attention.output.dense")
    hidden = graph.add_and_normalise(attended, hidden, f"{name}attention.output.LayerNorm")
    wide = graph.op("Gelu", graph.linear(hidden, f"{name}intermediate.dense"))
    narrow = graph.linear(wide, f"{name}output.dense")
    return graph.add_and_normalise(narrow, hidden, f"{name}output.LayerNorm")


def _mean_of_unit_length(graph: _Graph, hidden: str) -> None:
    """The mean over the mask; its scale falls out with the L2 norm, so a sum is enough."""
    from onnx import TensorProto

    mask = graph.op("Cast", "mask", to=TensorProto.FLOAT)
    row = graph.op("Unsqueeze", mask, graph.constant("one", np.array([1])))
    total = graph.op("MatMul", row, hidden)
    flat = graph.op("Squeeze", total, graph.constant("one", np.array([1])))
    graph.op("LpNormalization", flat, axis=-1, p=2, output="vectors")


class _Graph:
    """Nodes and constants in the making."""

    def __init__(self, weights: Weights, precision: Precision) -> None:
        self.weights = weights
        self._precision = precision
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Keeps an array in the model once and returns its name."""
        from onnx import numpy_helper

        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str) -> str:
        """A tensor of the model as it is."""
        return self.constant(name, self.weights[name])

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        from onnx import helper

        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def linear(self, hidden: str, name: str) -> str:
        """Hidden x weights + bias, in the precision of the graph."""
        matrix = self.weights[f"{name}.weight"].T
        bias = self.weight(f"{name}.bias")
        if self._precision == "fp32":
            product = self.op("MatMul", hidden, self.constant(f"{name}.weight", matrix))
            return self.op("Add", product, bias)
        rounded, scale = _int8_columns(matrix)
        return self.op(
            "DynamicQuantizeMatMul",
            hidden,
            self.constant(f"{name}.weight", rounded),
            self.constant(f"{name}.scale", scale),
            "",
            bias,
            domain=FUSED,
        )

    def normalise(self, hidden: str, name: str) -> str:
        """Layer normalisation."""
        gain, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", hidden, gain, shift, axis=-1, epsilon=EPSILON)

    def add_and_normalise(self, hidden: str, skipped: str, name: str) -> str:
        """Layer normalisation of a sum."""
        gain, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op(
            "SkipLayerNormalization", hidden, skipped, gain, shift, domain=FUSED, epsilon=EPSILON
        )

    def serialise(self) -> bytes:
        """The finished model."""
        from onnx import TensorProto, helper

        pieces, whole = ["texts", "pieces"], TensorProto.INT32
        graph = helper.make_graph(
            self._nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info(name, whole, pieces) for name in ("ids", "mask")],
            [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", DIMENSION])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised


def _int8_columns(
    matrix: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The matrix as integers of -127 to 127 and the scale of each column."""
    scale = np.abs(matrix).max(axis=0) / np.float32(127)
    return np.rint(matrix / scale).astype(np.int8), scale
