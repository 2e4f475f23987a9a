"""Eyes for pocket: drawn pictures of gauges, lamps, doors and tanks, and a vision tower of Gemma 4's own form.

`scenes` draws, `questions` asks about what is drawn, `tower` is the encoder, `seeing` trains it alone on what the drawings show.
The text model learns to read it together with the ears (`ears.understanding`).
"""
