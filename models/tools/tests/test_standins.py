"""What the stand-ins promise: the published topology, and files that hold what they should."""

import tempfile
import unittest
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from pocket import (
    checkpoints,
    front_ends,
    golden,
    layout,
    media_goldens,
    miniature,
    published,
    quantize,
    sounds,
    true_size,
)
from pocket.audio_graph import audio_graph
from pocket.runtime import OnnxEncoders, OnnxModel
from pocket.seen import SeeingModel
from pocket.towers import Towers
from pocket.vision_graph import vision_graph
from transformers import Gemma4ForCausalLM

FIXTURES = Path(__file__).parents[3] / "tests" / "fixtures"
FIXTURE, MEDIA = FIXTURES / "published", FIXTURES / "media"
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
            model = checkpoints.text_model(Path(folder))
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


class SeeingAndHearing(unittest.TestCase):
    def test_encoders_take_and_give_what_the_published_ones_do(self):
        ports = {
            layout.VISION: (["pixel_values", "pixel_position_ids"], ["image_features"]),
            layout.AUDIO: (["input_features", "input_features_mask"], ["audio_features"]),
        }
        for graph, (inputs, outputs) in ports.items():
            found = onnx.load(layout.graph_path(FIXTURE, graph, layout.Q4), load_external_data=False).graph
            self.assertEqual([port.name for port in found.input], inputs)
            self.assertEqual([port.name for port in found.output], outputs)

    def test_both_variants_choose_the_tokens_of_their_goldens(self):
        for suffix, most in ((layout.Q4, 1e-4), (layout.Q4F16, 1e-2)):
            model, encoders = OnnxModel(FIXTURE, suffix), OnnxEncoders(FIXTURE, suffix)
            cases, rows = media_goldens.read(FIXTURE / f"golden_media{suffix}.json")
            for case in cases:
                shown = {medium["start"]: encoded(encoders, medium, case["budget"]) for medium in case["media"]}
                for medium in case["media"]:
                    wanted = rows[medium["row"] : medium["row"] + medium["tokens"]]
                    self.assertLess(np.abs(shown[medium["start"]] - wanted).max(), most)
                chosen = model.follow(case["prompt"], case["tokens"], shown).argmax(-1)
                self.assertEqual(chosen.tolist(), case["tokens"], case["name"])

    def test_what_is_shown_decides_what_is_written(self):
        model = OnnxModel(FIXTURE, layout.Q4)
        cases, rows = media_goldens.read(FIXTURE / f"golden_media{layout.Q4}.json")
        for case in cases:
            blank = {each["start"]: np.zeros((each["tokens"], rows.shape[1]), np.float32) for each in case["media"]}
            chosen = model.follow(case["prompt"], case["tokens"], blank).argmax(-1)
            self.assertNotEqual(chosen.tolist(), case["tokens"], case["name"])

    def test_what_is_heard_does_not_change_when_more_is_said(self):
        encoders = OnnxEncoders(FIXTURE, layout.Q4)
        short, long = (front_ends.sounds([sounds.as_numbers(sounds.speech(size))])[0] for size in (16_000, 37_920))
        whole = encoders.sound(long.features, long.mask)
        part = encoders.sound(short.features[:96], short.mask[:96])
        self.assertLess(np.abs(whole[: len(part)] - part).max(), 1e-5)

    def test_padding_of_pictures_and_sounds_changes_nothing(self):
        encoders = OnnxEncoders(FIXTURE, layout.Q4)
        picture = front_ends.picture(FIXTURE / "media" / "odd.png", 70)
        bare, padded = (
            encoders.picture(*each) for each in ((picture.values, picture.positions), (picture.padded, picture.places))
        )
        self.assertLess(np.abs(bare - padded).max(), 1e-5)
        clips = [sounds.as_numbers(sounds.speech(size)) for size in (4_800, 16_000)]
        [alone], [beside, _] = front_ends.sounds(clips[:1]), front_ends.sounds(clips)
        self.assertGreater(len(beside.mask), len(alone.mask))
        gap = encoders.sound(alone.features, alone.mask) - encoders.sound(beside.features, beside.mask)
        self.assertLess(np.abs(gap).max(), 1e-5)

    def test_written_encoders_compute_what_transformers_computes(self):
        with tempfile.TemporaryDirectory() as folder:
            miniature.checkpoint(miniature.FIXTURE, Path(folder))
            model = SeeingModel(Path(folder))
            weights, config = checkpoints.weights(model.model), model.model.config
            width = config.text_config.hidden_size
            out = Path(folder, "out")
            layout.save(vision_graph(config.vision_config, width, weights, np.float32), out, layout.VISION)
            layout.save(audio_graph(config.audio_config, width, weights, np.float32), out, layout.AUDIO)
            encoders = OnnxEncoders(out)
            for name, budget in (("odd.png", 70), ("wide.png", 140), ("tall.png", 280), ("photo.jpg", 560)):
                picture = front_ends.picture(MEDIA / name, budget)
                gap = encoders.picture(picture.values, picture.positions) - model.picture_features(picture)
                self.assertLess(np.abs(gap).max(), 1e-4, name)
            for size in (161, 321, 4_800, 16_000, 37_920, 480_000):
                [sound] = front_ends.sounds([sounds.as_numbers(sounds.sweep(size))])
                gap = encoders.sound(sound.features, sound.mask) - model.sound_features(sound)
                self.assertLess(np.abs(gap).max(), 1e-4, size)


class Encoders(unittest.TestCase):
    """Layer by layer the published encoders: as many attentions as layers, every product between two clips."""

    def test_vision_has_one_attention_and_seven_products_a_layer(self):
        with tempfile.TemporaryDirectory() as folder:
            miniature.checkpoint(replace(miniature.FIXTURE, towers=Towers()), Path(folder))
            whole = checkpoints.whole_model(Path(folder))
        weights, config = checkpoints.weights(whole), whole.config
        proto = quantize.quantized(vision_graph(config.vision_config, 32, weights, np.float32), bits=4)
        found = Counter(node.op_type for node in proto.graph.node)
        self.assertEqual((found["MultiHeadAttention"], found["MatMulNBits"], found["Clip"]), (2, 2 * 7 + 1, 2 * 14))
        self.assertEqual((found["GatherBlockQuantized"], found["Gemm"]), (2, 1))


def encoded(encoders: OnnxEncoders, medium: dict, budget: int) -> np.ndarray:
    file = FIXTURE / "media" / medium["file"]
    if medium["type"] == "audio":
        [sound] = front_ends.sounds([sounds.as_numbers(sounds.read(file))])
        return encoders.sound(sound.features, sound.mask)
    picture = front_ends.picture(file, budget)
    return encoders.picture(picture.values, picture.positions)


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
