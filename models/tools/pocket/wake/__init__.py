"""The wake phrase: a small classifier over Google's speech embedding, trained on synthetic voices.

`phrases` has what is said and what must not be taken for it, `embedding` turns sound into vectors as the daemon does, step by step,
and `classifier` trains, judges and writes the graph.
"""
