"""What training rests on: the data can be written under the grammar, and its rendering is the template's."""

import unittest
from random import Random

from pocket.batches import IGNORED, Encoder
from pocket.check import differences
from pocket.corpus import texts
from pocket.grammar import Grammar
from pocket.homes import make_home
from pocket.prompt import answer, shipped_tools
from pocket.sessions import training_session
from pocket.sets import SETS, draw_set
from pocket.tokenizer import build
from pocket.words import any_word, held


def small_tokenizer(folder):
    names = [tool["name"] for tool in shipped_tools()]
    return build(list(texts(Random(0), 60)), names, ["light", "device"], 200, folder / "tokenizer.json")


class Data(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import tempfile
        from pathlib import Path

        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.encoder = Encoder(small_tokenizer(Path(cls.folder.name)))

    def test_hand_rendering_equals_the_template(self):
        self.assertEqual(differences(40), [])

    def test_the_grammar_allows_every_answer(self):
        rng = Random(1)
        for _ in range(20):
            session = training_session(rng, 8, 0.4)
            grammar = Grammar(self.encoder.ids, session.tools, session.home)
            for turns in session.talks:
                for turn in turns:
                    self.assertIsNotNone(grammar.walk(self.encoder.ids(answer(turn))), answer(turn))

    def test_pieces_encode_like_the_whole(self):
        rng = Random(2)
        for _ in range(10):
            session = training_session(rng, 2, 0.5)
            self.assertEqual(self.encoder.prefix(session, True), self.encoder.ids(session.prefix()))

    def test_loss_lies_on_what_the_model_writes(self):
        turns = training_session(Random(3), 1, 0.0).talks[0]
        ids, labels = self.encoder.talk(turns)
        written = [label for label in labels if label != IGNORED]
        self.assertEqual(len(ids), len(labels))
        self.assertTrue(self.encoder.tokenizer.decode(written, skip_special_tokens=False).startswith(answer(turns[0])))

    def test_a_word_splits_alike_with_and_without_a_blank(self):
        rng = Random(4)
        for _ in range(200):
            word = any_word(rng)
            bare, after = (self.encoder.tokenizer.encode(text).tokens for text in (word, " " + word))
            self.assertEqual("".join(bare), "".join(after).removeprefix("Ġ"))
            self.assertEqual(len(bare), len([piece for piece in after if piece != "Ġ"]))

    def test_words_for_evaluation_are_never_trained_on(self):
        rng = Random(5)
        self.assertFalse(any(held(any_word(rng)) for _ in range(2000)))
        self.assertTrue(all(held(any_word(rng, True)) for _ in range(500)))

    def test_names_are_unique_in_a_house(self):
        rng = Random(6)
        for _ in range(50):
            names = [name for device in make_home(rng, 30).devices for name in device.names]
            self.assertEqual(len(names), len(set(names)))

    def test_sets_are_drawn_alike_each_time(self):
        for name in SETS:
            first, second = (draw_set(name, 2, 3) for _ in range(2))
            self.assertEqual([s.talks for s in first], [s.talks for s in second])


if __name__ == "__main__":
    unittest.main()
