"""People: a person as capsules with body areas, stature and behaviour.

Knows errors, content, config, randomness and types; no robot and no simulator.
"""
