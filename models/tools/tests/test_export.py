"""A checkpoint that was trained further, with its adapter, becomes the folder that the merged checkpoint would become."""

import json
import tempfile
import unittest
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from pocket import checkpoints, layout, miniature, sparing, standins, stored
from safetensors.torch import save_file

RANK, ALPHA = 4, 8
TRAINED = (
    "model.language_model.layers.0.self_attn.q_proj",
    "model.language_model.layers.2.mlp.gate_proj",
    "model.language_model.layers.7.mlp.down_proj",
    "model.vision_tower.encoder.layers.1.self_attn.v_proj.linear",
    "model.audio_tower.layers.0.lconv1d.linear_start.linear",
)
GRAPHS = (*layout.GRAPHS, *layout.ENCODERS)


def train(checkpoint: Path, adapter: Path, merged: Path, **settings) -> None:
    """A random adapter, and the checkpoint with it in."""
    model = checkpoints.whole_model(checkpoint)
    matrices, generator, thin = dict(model.named_parameters()), torch.Generator().manual_seed(1), {}
    with torch.no_grad():
        for name in TRAINED:
            matrix = matrices[f"{name}.weight"]
            inner = 0.1 * torch.randn(RANK, matrix.shape[1], generator=generator)
            outer = 0.1 * torch.randn(matrix.shape[0], RANK, generator=generator)
            thin |= {f"base_model.model.{name}.lora_A.weight": inner, f"base_model.model.{name}.lora_B.weight": outer}
            matrix += ALPHA / RANK * (outer @ inner)
    adapter.mkdir()
    save_file(thin, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", **settings}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    model.save_pretrained(merged)
    for name in (*layout.COPIED_FILES, *layout.PROCESSOR_FILES):
        (merged / name).write_bytes((checkpoint / name).read_bytes())


def config_of(folder: Path) -> dict:
    """config.json, but for the type that the checkpoint's numbers happened to have when it was read."""
    config = json.loads((folder / "config.json").read_text())
    for part in ("text_config", "vision_config", "audio_config"):
        config[part].pop("dtype", None)
    return config


class TrainedFurther(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = Path(cls.scratch.name)
        cls.checkpoint, cls.adapter, cls.merged = (cls.folder / name for name in ("checkpoint", "adapter", "merged"))
        miniature.checkpoint(miniature.FIXTURE, cls.checkpoint)
        train(cls.checkpoint, cls.adapter, cls.merged)

    def graph(self, folder: Path, graph: str, suffix: str) -> tuple[list[onnx.NodeProto], dict]:
        """Its nodes in order of name, and its tensors."""
        proto = onnx.load(layout.graph_path(folder, graph, suffix)).graph
        tensors = {each.name: numpy_helper.to_array(each) for each in proto.initializer}
        return sorted((node.SerializeToString() for node in proto.node)), tensors

    def test_every_graph_is_that_of_the_merged_checkpoint(self):
        for variant, suffix in (("q4", layout.Q4), ("fp16", layout.FP16), ("quantized", layout.Q8)):
            expected, found = self.folder / f"expected_{variant}", self.folder / variant
            standins.in_published_form("fixture", self.merged, expected, [suffix])
            sparing.export(self.checkpoint, found, variant, self.adapter)
            for graph in GRAPHS:
                (nodes, tensors), (wanted_nodes, wanted) = (
                    self.graph(each, graph, suffix) for each in (found, expected)
                )
                self.assertEqual(nodes, wanted_nodes, graph)
                self.assertEqual(set(tensors), set(wanted), graph)
                for name, array in wanted.items():
                    self.assertEqual((tensors[name].dtype, tensors[name].shape), (array.dtype, array.shape), name)
                    self.assertEqual(tensors[name].tobytes(), array.tobytes(), f"{graph}: {name}")
            self.assertEqual(config_of(found), config_of(expected))

    def test_an_adapter_changes_what_it_trained_and_nothing_else(self):
        before, after = stored.Stored(self.checkpoint), stored.Stored(self.checkpoint, self.adapter)
        for name in before.files:
            same = before[name].tobytes() == after[name].tobytes()
            self.assertEqual(same, name.removesuffix(".weight") not in TRAINED, name)

    def patterned(self, patterns: dict) -> stored.Adapter:
        """The adapter with scales of their own for some modules."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            folder = Path(scratch)
            config = json.loads((self.adapter / "adapter_config.json").read_text())
            (folder / "adapter_config.json").write_text(json.dumps(config | {"alpha_pattern": patterns}))
            (folder / "adapter_model.safetensors").write_bytes((self.adapter / "adapter_model.safetensors").read_bytes())
            return stored.Adapter(folder)

    def test_scales_of_their_own_are_given_as_peft_gives_them(self):
        for pattern, trained in (
            ("q_proj", TRAINED[:1]),
            (TRAINED[1], TRAINED[1:2]),  # the full name, which the graphs do not use
            ("^" + TRAINED[1], TRAINED[1:2]),
            (r"layers\.\d+\.mlp\.\w+", TRAINED[1:3]),
            (r"model\.language_model\..*", TRAINED[:3]),
            ("gate_proj|linear_start.linear", (TRAINED[1], TRAINED[4])),
        ):
            adapter = self.patterned({pattern: 3 * ALPHA})
            expected = {
                stored.bare(f"{name}.weight"): (3 if name in trained else 1) * ALPHA / RANK for name in TRAINED
            }
            self.assertEqual({name: adapter.scale(name, RANK) for name in expected}, expected, pattern)
        first = self.patterned({"q_proj|up_proj": 16, r".*q_proj": 32})
        self.assertEqual(first.scale(stored.bare(f"{TRAINED[0]}.weight"), RANK), 4)

    def test_a_scale_for_nothing_is_refused(self):
        for pattern in ("proj", "o_proj", "self_attn", "model.layers.0.self_attn.q_proj"):
            with self.assertRaisesRegex(stored.UnreadableCheckpoint, "fits none of the adapter's modules"):
                self.patterned({"q_proj": 16, pattern: 16})
        with self.assertRaisesRegex(stored.UnreadableCheckpoint, "no regular expression"):
            self.patterned({"q_proj(": 16})

    def test_adapters_that_cannot_be_merged_are_refused_with_the_reason(self):
        config = json.loads((self.adapter / "adapter_config.json").read_text())
        strange = self.folder / "strange"
        strange.mkdir()
        (strange / "adapter_model.safetensors").write_bytes((self.adapter / "adapter_model.safetensors").read_bytes())
        for change in ({"use_dora": True}, {"bias": "all"}, {"peft_type": "IA3"}):
            (strange / "adapter_config.json").write_text(json.dumps(config | change))
            with self.assertRaisesRegex(stored.UnreadableCheckpoint, "merge this one with PEFT"):
                stored.Stored(self.checkpoint, strange)
        with self.assertRaisesRegex(stored.UnreadableCheckpoint, "no adapter of PEFT"):
            stored.Stored(self.checkpoint, self.checkpoint / "nowhere")
        with self.assertRaisesRegex(stored.UnreadableCheckpoint, "cannot be read"):
            stored.Stored(self.folder)


if __name__ == "__main__":
    unittest.main()
