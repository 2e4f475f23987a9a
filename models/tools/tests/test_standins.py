"""What the stand-ins promise: the published topology, and files that hold what they should."""

import tempfile
import unittest
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from pocket import golden, layout, miniature, published, quantize, true_size
from pocket.runtime import OnnxModel
from transformers import Gemma4ForCausalLM

FIXTURE = Path(__file__).parents[3] / "tests" / "fixtures" / "published"
SMALL = {"hidden": 32, "inner": 16, "head_width": 8, "positions": 16}


def operators(shape: miniature.Miniature) -> Counter[str]:
    """How often each operator occurs in the quantized decoder."""
    model = Gemma4ForCausalLM(shape.config(vocabulary=64))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    proto = quantize.quantized(published.decoder_graph(model.config, weights, np.float32), bits=4)
    return Counter(node.op_type for node in proto.graph.node)


class Topology(unittest.TestCase):
    """With all of their layers, the graphs have as many products and grouped attentions as the published ones."""

    def test_e2b(self):
        found = operators(replace(miniature.MINIATURES["e2b"], groups=7, shared_groups=4, **SMALL))
        self.assertEqual((found["GroupQueryAttention"], found["MatMulNBits"]), (12, 242))

    def test_e4b(self):
        found = operators(replace(miniature.MINIATURES["e4b"], groups=7, shared_groups=3, **SMALL))
        self.assertEqual(found["GroupQueryAttention"], 20)


class Folder(unittest.TestCase):
    def test_the_decoder_takes_its_inputs_in_the_published_order(self):
        graph = onnx.load(layout.graph_path(FIXTURE, layout.DECODER, layout.Q4), load_external_data=False).graph
        caches = [f"past_key_values.{index}.{part}" for index in range(5) for part in ("key", "value")]
        self.assertEqual([port.name for port in graph.input], layout.DECODER_INPUTS + caches)

    def test_both_variants_choose_the_tokens_of_their_goldens(self):
        for suffix in (layout.Q4, layout.Q4F16):
            model = OnnxModel(FIXTURE, suffix)
            for case in golden.read(FIXTURE / f"golden{suffix}.json"):
                self.assertEqual(model.follow(case["prompt"], case["tokens"]).argmax(-1).tolist(), case["tokens"])

    def test_every_matrix_of_the_checkpoint_is_held_within_half_a_step(self):
        with tempfile.TemporaryDirectory() as folder:
            miniature.checkpoint(miniature.FIXTURE, Path(folder))
            model = Gemma4ForCausalLM.from_pretrained(folder)
        matrices = {name: tensor.numpy() for name, tensor in model.state_dict().items() if tensor.ndim == 2}
        for suffix in (layout.Q4, layout.Q4F16):
            stored = quantize.stored_weights(FIXTURE, suffix)
            self.assertEqual(set(stored), set(matrices))
            for name, matrix in matrices.items():
                widest = (np.maximum(matrix.max(1), 0) - np.minimum(matrix.min(1), 0)) / 15
                self.assertTrue((np.abs(stored[name] - matrix) <= 0.51 * widest[:, None]).all(), name)


class TrueSize(unittest.TestCase):
    """What is written on the way to the disk is what is made in memory and rounded then, up to the numbers in it."""

    def folders(self, shape: miniature.Miniature, out: Path) -> tuple[onnx.ModelProto, onnx.ModelProto]:
        config = shape.config(vocabulary=64)
        weights = {name: tensor.numpy() for name, tensor in Gemma4ForCausalLM(config).state_dict().items()}
        proto = quantize.quantized(published.decoder_graph(config, weights, np.float16), bits=4, accuracy_level=None)
        decoder = true_size.TrueDecoder(config, true_size.Shapes(config), np.float16)
        decoder.begin(1, true_size.Rounding(4, 32, True, None))
        decoder.save(decoder.written(), out, layout.DECODER, layout.Q4F16, data=True)
        return proto, onnx.load(layout.graph_path(out, layout.DECODER, layout.Q4F16))

    def test_the_graph_is_that_of_the_stand_ins(self):
        shape = replace(miniature.FIXTURE, hidden=64, inner=32, head_width=16, per_layer=32)
        with tempfile.TemporaryDirectory() as folder:
            expected, found = self.folders(shape, Path(folder))
        self.assertEqual(list(found.graph.node), list(expected.graph.node))
        self.assertEqual((found.graph.input, found.graph.output), (expected.graph.input, expected.graph.output))
        kinds = [
            {one.name: (one.data_type, tuple(one.dims)) for one in proto.graph.initializer}
            for proto in (expected, found)
        ]
        self.assertEqual(*kinds)


class DataFiles(unittest.TestCase):
    def test_weights_are_spread_over_as_many_files_as_asked_for_and_read_back(self):
        graph = layout.graph_path(FIXTURE, layout.EMBED, layout.Q4)
        with tempfile.TemporaryDirectory() as folder:
            layout.save(onnx.load(graph), Path(folder), layout.EMBED, layout.Q4, chunks=2)
            names = sorted(path.name for path in Path(folder, "onnx").iterdir())
            self.assertEqual(names, [graph.name, f"{graph.name}_data", f"{graph.name}_data_1"])
            again = onnx.load(layout.graph_path(Path(folder), layout.EMBED, layout.Q4))
        self.assertEqual(again.graph.initializer, onnx.load(graph).graph.initializer)


if __name__ == "__main__":
    unittest.main()
