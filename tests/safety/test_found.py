"""What adversaries found, kept: each case broke the guard once and must not again.

`found/NAME.onnx` is the adversary as it was frozen; the cases are seeds of the training
range in a case of the guard suite. What was mended is said beside each. Most are
policies that the search passed on its way.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from physai.evaluation.suite import load_suite, template_of
from physai.policy.adapters import load_policy
from physai.tasks import registry

FOUND = Path(__file__).parent / "found"

CASES = [
    # The arm was pressed on to the cup, slipped off it and jerked: a joint beyond its
    # range, a link too fast beside the person. Now the cup is a volume to stay out of.
    ("cup", "care_feeding_guard", "open_mouth", (4, 7, 16, 29, 38)),
    # One joint turned round at full speed, and the drives, which arrive together, held up
    # the braking of another. Now the range counts on the slowest joint, and no command
    # runs ahead of a drive.
    ("wrist", "logistics_palletize_guard", "quiet", (2,)),
    ("tool", "logistics_palletize_guard", "quiet", (8,)),
    # Fast joints made up a slow approach to the conveyor between them, and did not come
    # to rest in time; and along its edge the nearest point of the forearm leapt. Now the
    # way left suffices for the fastest joint, and whole shapes keep to their side.
    ("conveyor", "logistics_palletize_guard", "quiet", (2, 11)),
    ("conveyor", "logistics_palletize_guard", "leak", (24, 96)),
    # The arm pulled, the boom's cylinder yielded, and the edge went down between two
    # motions that should have cancelled. Now no joint moves an edge outward that is
    # outside, and one that does not follow stands.
    ("bucket", "construction_trench_guard", "step_back", (3,)),
    ("pipe", "construction_trench_guard", "hard", (30031,)),
    # A bucket jammed beside the tracks pulled harder than the machine stands. Now a
    # load moment near overturning stops it.
    ("jam", "construction_trench_guard", "deep", (30045, 30079)),
    # In the crossing when a driver came who did not look. Now the other machine's own
    # motion is part of the distance that is kept of it.
    ("driver", "construction_haul_guard", "crossing_driver_does_not_look", (28,)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "suite", "case", "seeds"), CASES)
def test_what_was_found_is_mended(name, suite, case, seeds) -> None:
    config = load_suite(suite)
    cycle = registry.make_cycle(config.environment, guard="on")
    try:
        template = template_of(config.case(case), cycle.environment)
        policy = load_policy(str(FOUND / f"{name}.onnx"), cycle)
        hard = np.flatnonzero(cycle.spec.hard).tolist()
        for seed in seeds:
            observation = cycle.reset(
                cycle.task.sample_scenario(seed, "train", template)
            )
            policy.reset()
            while True:
                record = cycle.step(policy.act(observation))
                observation = cycle.observation
                broken = [
                    cycle.spec.rule_names[place]
                    for place in hard
                    if cycle.scorer.active[place]
                ]
                assert not broken, (seed, cycle.steps, broken)
                if record.terminated or record.truncated:
                    break
    finally:
        cycle.close()
