"""Ears for pocket: commands spoken by synthetic voices, an audio tower of Gemma 4's own form, and a text model that reads it.

The order of use: `voices` and `spoken` say what is said and by whom, `clips` lets it be said and keeps it, `hearing` makes
noisy features of it, `tower` is the encoder, `listening` trains it alone, `understanding` trains it with the text model.
"""
