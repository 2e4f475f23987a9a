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


def port(name: str, kind: np.dtype | type, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
