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
Array = NDArray[np.float32]
Weights = Mapping[str, Array]

DIMENSION: Final = 384
MAX_WORD_PIECES: Final = 256
LAYERS: Final = 6
HEADS: Final = 12
EPSILON: Final = 1e-12
OPSET: Final = 20
IR_VERSION: Final = 10
FUSED: Final = "com.microsoft"  # operators that only ONNX Runtime has


def read_weights(path: Path) -> dict[str, Array]:
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
    """The serialised model: word pieces in, unit vectors out.

    The input ``ids`` is int32 of shape (texts, pieces): texts of equal length, so that nothing is
    padded and nothing has to be masked. The output is float32 of shape (texts, 384): the mean
    of the last layer over the pieces, L2-normalised.

    Args:
        weights: The tensors of the model by their published names.
        precision: ``int8`` stores the large matrices as 8-bit integers with one scale a column.
    """
    graph = _Graph(weights, precision)
    hidden = _embeddings(graph)
    for layer in range(LAYERS):
        hidden = _encoder_layer(graph, hidden, f"encoder.layer.{layer}.")
    return graph.serialise(_mean_of_unit_length(graph, hidden))


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
    attended = graph.linear(_attention(graph, hidden, name), f"{name}attention.output.dense")
    hidden = graph.normalise(graph.op("Add", attended, hidden), f"{name}attention.output.LayerNorm")
    wide = graph.op("Gelu", graph.linear(hidden, f"{name}intermediate.dense"))
    narrow = graph.linear(wide, f"{name}output.dense")
    return graph.normalise(graph.op("Add", narrow, hidden), f"{name}output.LayerNorm")


def _attention(graph: _Graph, hidden: str, name: str) -> str:
    """What each piece takes from all pieces of its text.

    One operator does it all in float32; for integers its matrix product stands apart.
    """
    parts = [f"{name}attention.self.{part}" for part in ("query", "key", "value")]
    merged = np.concatenate([graph.weights[f"{part}.weight"].T for part in parts], axis=1)
    bias = np.concatenate([graph.weights[f"{part}.bias"] for part in parts])
    joint = f"{name}attention.self"
    if graph.precision == "fp32":
        matrix = graph.constant(f"{joint}.weight", merged)
        shift = graph.constant(f"{joint}.bias", bias)
        return graph.op("Attention", hidden, matrix, shift, domain=FUSED, num_heads=HEADS)
    product = graph.product(hidden, joint, merged, bias)
    split = graph.ops("Split", product, outputs=3, axis=2, num_outputs=3)
    return graph.op("MultiHeadAttention", *split, domain=FUSED, num_heads=HEADS)


def _mean_of_unit_length(graph: _Graph, hidden: str) -> str:
    """The direction of the mean over the pieces."""
    pieces = graph.constant("one", np.array([1]))
    return graph.op("LpNormalization", graph.op("ReduceMean", hidden, pieces, keepdims=0), p=2)


class _Graph:
    """Nodes and constants in the making."""

    def __init__(self, weights: Weights, precision: Precision) -> None:
        self.weights = weights
        self.precision = precision
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

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output and returns the name of that output."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Adds a node and returns the names of its outputs."""
        from onnx import helper

        names = [f"{kind}_{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def linear(self, hidden: str, name: str) -> str:
        """Hidden x the layer's weights + its bias."""
        matrix, bias = self.weights[f"{name}.weight"].T, self.weights[f"{name}.bias"]
        return self.product(hidden, name, matrix, bias)

    def product(self, hidden: str, name: str, matrix: Array, bias: Array) -> str:
        """Hidden x matrix + bias, in the precision of the graph."""
        shift = self.constant(f"{name}.bias", bias)
        if self.precision == "fp32":
            product = self.op("MatMul", hidden, self.constant(f"{name}.weight", matrix))
            return self.op("Add", product, shift)
        rounded, scale = _int8_columns(matrix)
        columns = self.constant(f"{name}.weight", rounded)
        scales = self.constant(f"{name}.scale", scale)
        return self.op("DynamicQuantizeMatMul", hidden, columns, scales, "", shift, domain=FUSED)

    def normalise(self, hidden: str, name: str) -> str:
        """Layer normalisation."""
        gain, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", hidden, gain, shift, axis=-1, epsilon=EPSILON)

    def serialise(self, result: str) -> bytes:
        """The finished model."""
        from onnx import TensorProto, helper

        graph = helper.make_graph(
            self._nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info("ids", TensorProto.INT32, ["texts", "pieces"])],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, ["texts", DIMENSION])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised


def _int8_columns(matrix: Array) -> tuple[NDArray[np.int8], Array]:
    """The matrix as integers of -63 to 63 and the scale of each column.

    Seven bits, because processors without VNNI add two products of a byte each in 16 bits: with
    eight they would overflow, and the same text would get another vector there.
    """
    scale = np.abs(matrix).max(axis=0) / np.float32(63)
    return np.rint(matrix / scale).astype(np.int8), scale
