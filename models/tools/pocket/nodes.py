"""A graph written down node by node, where `export` traces one.

A node is given a path for a name, as in `/model/layers.0/attn/q_proj/MatMul`, and its first value is called after it
(`…/output_0`). Constants are stored once, under the names they are given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 20
IR_VERSION = 10
CONTRIB = "com.microsoft"
"""The domain of the operators that ONNX Runtime adds."""
TO_THE_END = np.iinfo(np.int64).max
"""Where a slice ends that takes everything."""

Weights = dict[str, np.ndarray]
"""Parameters and buffers by their names in the checkpoint, f32."""


class Writer:
    """Nodes, constants and ports of one graph. `number` is the type in which it computes, f32 or f16."""

    def __init__(self, name: str, number: type[np.floating]):
        self.name, self.number = name, np.dtype(number)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, kind: np.dtype | type, shape: Sequence[int | str]) -> str:
        self.inputs.append(port(name, kind, shape))
        return name

    def output(self, value: str, name: str, kind: np.dtype | type, shape: Sequence[int | str]) -> None:
        """Lets a value out under a name of its own; where a node already calls it so, nothing is added."""
        if value != name:
            self.node("Identity", [value], f"/{name}/Identity", outputs=[name])
        self.outputs.append(port(name, kind, shape))

    def node(
        self, op: str, inputs: Sequence[str], path: str, outputs: Sequence[str] = (), domain: str = "", **settings
    ) -> str:
        """Adds one node and returns the name of its first value. An input left out is an empty name."""
        values = list(outputs) or [f"{path}/output_0"]
        self.nodes.append(helper.make_node(op, list(inputs), values, path, domain=domain, **settings))
        return values[0]

    def constant(self, name: str, value, kind: np.dtype | type | None = None) -> str:
        """A constant in the graph's own type of number unless another is named."""
        array = np.asarray(value, kind or self.number, order="C")
        known = self.constants.setdefault(name, array)
        if known.shape != array.shape or known.tobytes() != array.tobytes():
            raise ValueError(f"two constants are called {name}")
        return name

    def has(self, name: str) -> bool:
        """Whether there is a constant of that name already."""
        return name in self.constants

    def integers(self, *values: int) -> str:
        """A list of whole numbers, as shapes and axes are."""
        return self.constant(f"/constants/[{','.join(map(str, values))}]", values, np.int64)

    def integer(self, value: int) -> str:
        return self.constant(f"/constants/{value}", value, np.int64)

    def cast(self, value: str, kind: np.dtype | type, path: str, outputs: Sequence[str] = ()) -> str:
        return self.node("Cast", [value], f"{path}/Cast", outputs, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def finished(self) -> onnx.ModelProto:
        constants = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, constants)
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION, producer_name="pocket")


class LayerWriter(Writer):
    """Also knows the weights of a checkpoint by their names, and what layers everywhere are made of."""

    def __init__(self, name: str, number: type[np.floating], weights: Weights, epsilon: float):
        super().__init__(name, number)
        self.weights, self.epsilon = weights, epsilon

    def product(self, path: str, value: str, name: str, weight: np.ndarray) -> str:
        """A product with a matrix [out,in] of the checkpoint, stored transposed as `MatMul` wants it."""
        return self.node("MatMul", [value, self.constant(name, weight.T)], f"{path}/MatMul")

    def linear(self, path: str, value: str, name: str) -> str:
        return self.product(path, value, f"{name}.weight", self.weights[f"{name}.weight"])

    def rows(self, path: str, table: str, ids: str) -> str:
        """The rows of a table that are asked for."""
        return self.node("Gather", [self.constant(table, self.weights[table]), ids], f"{path}/Gather")

    def norm(self, path: str, value: str, weight: str) -> str:
        return self.normed(path, value, self.constant(weight, self.weights[weight]))

    def plain_norm(self, path: str, value: str, width: int) -> str:
        """A norm that has no weight."""
        return self.normed(path, value, self.constant(f"/model/ones_{width}", np.ones(width)))

    def normed(self, path: str, value: str, scale: str) -> str:
        path = f"{path}/SimplifiedLayerNormalization"
        settings = {"axis": -1, "epsilon": self.epsilon, "stash_type": 1}
        return self.node("SimplifiedLayerNormalization", [value, scale], path, **settings)

    def times(self, path: str, value: str, factor: float) -> str:
        return self.node("Mul", [value, self.constant(f"{path}/factor", factor)], f"{path}/Mul")

    def gelu(self, path: str, value: str) -> str:
        return self.node("Gelu", [value], f"{path}/Gelu", approximate="tanh")

    def clipped(self, path: str, value: str, low: float, high: float) -> str:
        bounds = [self.constant(f"{path}/low", low), self.constant(f"{path}/high", high)]
        return self.node("Clip", [value, *bounds], f"{path}/Clip")

    def clipped_linear(self, path: str, value: str, name: str) -> str:
        """A product between two clips. Bounds that are infinite clip nothing and are left out."""
        for place in ("input", "output"):
            low, high = (float(self.weights[f"{name}.{place}_{bound}"]) for bound in ("min", "max"))
            if place == "output":
                value = self.linear(path, value, f"{name}.linear")
            if np.isfinite([low, high]).any():
                value = self.clipped(f"{path}/{place}", value, low, high)
        return value

    def reshaped(self, path: str, value: str, *shape: int) -> str:
        """0 keeps a size, -1 takes what is left."""
        return self.node("Reshape", [value, self.integers(*shape)], f"{path}/Reshape")

    def single(self, value: str, path: str) -> str:
        """In single precision, for what would overflow or lose too much in half."""
        return value if self.number == np.float32 else self.cast(value, np.float32, path)

    def own(self, value: str, path: str) -> str:
        """Back in the graph's own type."""
        return value if self.number == np.float32 else self.cast(value, self.number, path)


def port(name: str, kind: np.dtype | type, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
