"""Words for names: everyday ones, English words out of Python's own help texts, and invented ones.

One word in eight is kept for evaluation: training never sees it (`held`).
"""

from __future__ import annotations

import re
import zlib
from functools import cache
from random import Random

EVERYDAY = """
anna ben carla david emma felix greta hugo ida jonas karl lena max nora oscar paula quentin rosa simon tina ute victor
wendy yara zoe mia leo tom lucy grandma grandpa dad mum papa mama baby teen uncle aunt boss buddy charlie daisy rocky bella
apple banana cherry lemon melon peach plum berry olive pepper ginger cinnamon vanilla honey maple clover fern ivy moss oak
pine cedar birch willow lotus tulip orchid cactus palm bamboo tiger panda zebra koala otter beaver badger falcon eagle robin
sparrow penguin turtle dolphin whale shark salmon lobster spider beetle hornet cricket dragon unicorn phoenix wizard pirate
ninja rocket comet meteor saturn jupiter venus mercury neptune pluto orion luna solar stellar cosmic galaxy nebula ocean river
lake island canyon desert forest meadow valley glacier volcano sunrise sunset twilight midnight winter summer autumn spring
monday friday sunday copper silver golden bronze marble velvet cotton leather crystal amber coral ruby jade pearl scarlet
crimson orange yellow purple violet indigo magenta turquoise beige brown grey black pink cream ivory charcoal paris london
berlin tokyo vienna madrid lisbon oslo dublin cairo havana chess piano guitar violin trumpet drum cello tango salsa disco
retro vintage modern classic nordic rustic royal studio gallery museum theatre cinema arcade bistro tavern bakery chapel
castle cabin cottage tower bridge harbor anchor compass lighthouse lagoon aquarium terrarium globe statue fountain pyramid
barrel basket bucket ladder hammer trolley tractor trailer bicycle scooter skateboard caravan printer scanner router modem
server rack camera doorbell mailbox antenna hub panel battery charger aquaponics incubator hatchery coop kennel crib hammock
swing slide trampoline treadmill sauna steam bubble cloud thunder storm breeze drizzle rainbow snow frost ember candle torch
lava neon pixel laser prism halo aurora beacon glow spark flash shadow mirror canvas poster sculpture bonsai herb mint basil
""".split()

ONSETS = "b br d dr f fl g gr h j k kl l m n p pr r s sh sk st t tr v w z ch qu".split()
VOWELS = "a e i o u ar en il on ur ax ey oo ai um is".split()


def held(word: str) -> bool:
    """Whether the word is kept for evaluation."""
    return zlib.crc32(word.encode()) % 8 == 0


@cache
def english() -> tuple[str, ...]:
    """Words that Python's help texts use at least twice, without those that phrases keep for evaluation."""
    from pydoc_data.topics import topics

    from .phrases import HELD_VERBS

    counts: dict[str, int] = {}
    for text in topics.values():
        for word in re.findall(r"\b[a-z]{3,9}\b", text):
            counts[word] = counts.get(word, 0) + 1
    return tuple(sorted(word for word, count in counts.items() if count >= 2 and word not in HELD_VERBS))


def invented(rng: Random) -> str:
    """A word that no language has."""
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.choice((2, 2, 3))))


def any_word(rng: Random, evaluation: bool = False) -> str:
    """A word for a name or a text: of those kept for evaluation, or of all others."""
    while True:
        dice = rng.random()
        if dice < 0.3:
            word = rng.choice(EVERYDAY)
        elif dice < 0.56:
            word = rng.choice(english())
        else:
            word = invented(rng)
        if held(word) == evaluation:
            return word


SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_word(value: int, hyphen: bool = False) -> str:
    """0 to 199 in words."""
    if value < 20:
        return SMALL[value]
    if value < 100:
        return TENS[value // 10] + (("-" if hyphen else " ") + SMALL[value % 10] if value % 10 else "")
    rest = value - 100
    return "one hundred" + (f" {number_word(rest)}" if rest else "")


def spoken(rng: Random, value: int) -> str:
    """A number as people write or say it."""
    if value > 199 or rng.random() < 0.65:
        return str(value)
    if value == 100:
        return rng.choice(("one hundred", "a hundred", "hundred"))
    return number_word(value, rng.random() < 0.3)
