"""What every exported folder promises, held on the tiny one. Run with `python -m unittest discover tests`."""

import unittest
from pathlib import Path

import numpy as np
from pocket import golden, layout, quantize
from pocket.runtime import OnnxModel

TINY = Path(__file__).parents[3] / "tests" / "fixtures" / "tiny"


class Rounding(unittest.TestCase):
    def setUp(self):
        self.matrix = np.random.default_rng(0).normal(size=(5, 80)).astype(np.float32)
        self.matrix[:, :40] *= self.matrix[:, :40] > 0

    def test_no_weight_moves_further_than_half_a_step(self):
        for bits in quantize.BITS.values():
            blocks = quantize.Blocks.rounded(self.matrix, bits)
            steps = np.repeat(blocks.scales, quantize.BLOCK, axis=1)[:, :80]
            self.assertTrue((np.abs(blocks.matrix() - self.matrix) <= steps * 0.5001).all())

    def test_zero_stays_zero(self):
        for bits in quantize.BITS.values():
            self.assertTrue((quantize.Blocks.rounded(self.matrix, bits).matrix()[self.matrix == 0] == 0).all())

    def test_packed_blocks_are_read_back_whole_even_when_their_number_is_odd(self):
        for bits in (2, 4, 8):
            blocks = quantize.Blocks.rounded(self.matrix, bits)
            parts = blocks.packed(blocks.values), blocks.scales, blocks.packed(blocks.zeros)
            again = quantize.Blocks.stored(*parts, bits, blocks.width)
            np.testing.assert_array_equal(again.matrix(), blocks.matrix())


class Folder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = OnnxModel(TINY)
        cls.cases = golden.read(TINY / "golden.json")
        cls.prompt = cls.cases[-2]["prompt"]

    def test_the_graph_chooses_the_tokens_that_transformers_chose(self):
        for case in self.cases:
            chosen = self.model.follow(case["prompt"], case["tokens"]).argmax(-1)
            self.assertEqual(chosen.tolist(), case["tokens"])

    def test_a_prompt_in_pieces_gives_the_logits_of_a_prompt_in_one(self):
        whole, _ = self.model.step(self.prompt, self.model.empty_cache(), keep=0)
        past, rows = self.model.empty_cache(), []
        for start, end in ((0, 1), (1, 20), (20, 23), (23, len(self.prompt))):
            logits, past = self.model.step(self.prompt[start:end], past, keep=0)
            rows.append(logits)
        np.testing.assert_allclose(np.concatenate(rows), whole, atol=1e-4)

    def test_fewer_wanted_logits_are_the_last_rows_of_all_of_them(self):
        whole, cache = self.model.step(self.prompt, self.model.empty_cache(), keep=0)
        for keep in (1, 5, len(self.prompt), len(self.prompt) + 9):
            rows, same = self.model.step(self.prompt, self.model.empty_cache(), keep=keep)
            np.testing.assert_allclose(rows, whole[-keep:], atol=1e-4)
            for name in cache:
                np.testing.assert_array_equal(same[name], cache[name])

    def test_a_cache_cut_back_goes_on_as_if_it_had_never_been_longer(self):
        _, long = self.model.step(self.prompt, self.model.empty_cache())
        cut = {name: array[:, :, :25] for name, array in long.items()}
        after_cut, _ = self.model.step([200], cut)
        _, short = self.model.step(self.prompt[:25], self.model.empty_cache())
        after_short, _ = self.model.step([200], short)
        np.testing.assert_allclose(after_cut, after_short, atol=1e-4)

    def test_the_quantized_head_and_table_hold_the_same_rounded_weights(self):
        stored = quantize.stored_weights(TINY, layout.Q4)
        np.testing.assert_array_equal(stored["lm_head.weight"], stored["model.embed_tokens.weight"])


if __name__ == "__main__":
    unittest.main()
