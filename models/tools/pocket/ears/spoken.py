"""How a written command sounds: words alone, digits and signs said aloud."""

from __future__ import annotations

import re

from ..words import SMALL, number_word

FRACTIONS = {"1/2": "a half", "1/4": "a quarter", "3/4": "three quarters", "1/3": "a third", "2/3": "two thirds"}
SIGNS = {"%": " percent ", "°": " degrees ", "&": " and ", "+": " plus ", "co2": "c o two", "wc": "w c", "tv": "t v", "ac": "a c", "hvac": "h vac", "uv": "u v", "led": "l e d"}  # fmt: skip
"""Signs, and short words that voices spell."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def said(text: str) -> str:
    """A command as it is spoken: lower case, words of a to z with apostrophes, one blank between them."""
    text = text.lower()
    for sign, words in FRACTIONS.items():
        text = text.replace(sign, f" {words} ")
    text = re.sub(r"°\s*c\b", " degrees celsius ", text)
    for sign in "%°&+":
        text = text.replace(sign, SIGNS[sign])
    text = re.sub(r"(\d)[.,](\d)", r"\1 point \2", text)
    text = re.sub(r"\d+", lambda number: f" {number_in_words(number[0])} ", text)
    return " ".join(re.sub(r"[^a-z' ]", " ", text).split())


def number_in_words(digits: str) -> str:
    """Up to 199 as a number, what is longer digit by digit."""
    if len(digits) <= 3 and int(digits) <= 199:
        return number_word(int(digits))
    return " ".join(SMALL[int(digit)] for digit in digits)
