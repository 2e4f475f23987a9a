"""Tracing a module of torch to an ONNX graph, and tidying what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from . import layout
from .nodes import OPSET


@dataclass
class Graph:
    """One ONNX file in the making."""

    name: str
    module: nn.Module
    arguments: tuple
    dynamic_shapes: tuple
    inputs: list[str]
    outputs: list[str]


def export_graph(graph: Graph, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Traces one module and tidies what comes out."""
    with torch.no_grad():
        program = torch.onnx.export(
            graph.module.eval(),
            graph.arguments,
            dynamo=True,
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_shapes=graph.dynamic_shapes,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    proto = program.model_proto
    fold_transposed_weights(proto)
    name_weights(proto, weights)
    name_dimensions(proto)
    drop_traces(proto)
    onnx.checker.check_model(proto)
    return proto


def fold_transposed_weights(proto: onnx.ModelProto) -> None:
    """Stores a weight the way its product wants it, where the exporter left a `Transpose` of a constant behind."""
    graph = proto.graph
    weights = {weight.name: weight for weight in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Transpose" and n.input[0] in weights]:
        order = next(attribute.ints for attribute in node.attribute if attribute.name == "perm")
        turned = np.ascontiguousarray(numpy_helper.to_array(weights[node.input[0]]).transpose(order))
        graph.initializer.append(numpy_helper.from_array(turned, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for weight in [w for w in graph.initializer if w.name not in used]:
        graph.initializer.remove(weight)


def name_weights(proto: onnx.ModelProto, weights: dict[str, np.ndarray]) -> None:
    """Gives every matrix and table, and the node that reads it, its name in the checkpoint.

    A table lies as in the checkpoint, a product's matrix transposed. A tied head is found as `lm_head` by its product
    and as the table of embeddings by its look-up.
    """
    matrices = {name: array for name, array in weights.items() if array.ndim == 2}
    tables = {array.tobytes(): name for name, array in reversed(matrices.items())}
    products = {np.ascontiguousarray(array.T).tobytes(): name for name, array in matrices.items()}
    stored = {weight.name: weight for weight in proto.graph.initializer if len(weight.dims) == 2}
    for node in proto.graph.node:
        place, known = {"Gather": (0, tables), "MatMul": (1, products)}.get(node.op_type, (0, {}))
        weight = stored.get(node.input[place]) if known else None
        name = known.get(numpy_helper.to_array(weight).tobytes()) if weight is not None else None
        if name:
            weight.name = node.input[place] = name
            node.name = f"/{name.removesuffix('.weight').replace('.', '/')}/{node.op_type}"


def name_dimensions(proto: onnx.ModelProto) -> None:
    """Readable names for the free dimensions; the shapes of inner values would contradict them, so they go."""
    for value in [*proto.graph.input, *proto.graph.output]:
        for dim, name in zip(value.type.tensor_type.shape.dim, layout.dimension_names(value.name), strict=False):
            if name:
                dim.dim_param = name
    del proto.graph.value_info[:]


def drop_traces(proto: onnx.ModelProto) -> None:
    """The exporter notes Python source lines at every node; they outweigh a small graph and name paths of its maker."""
    graph = proto.graph
    for part in [proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output]:
        del part.metadata_props[:]
        part.doc_string = ""
