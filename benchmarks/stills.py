"""One still of every environment: the expert at work, guard and fields drawn over it.

    python benchmarks/stills.py [--out docs/tasks] [--only NAME ...]

Seeds are those of the test distribution, faces are masked as in every picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2

from physai.plant.picture import Image, Picture
from physai.report.film import draw_step
from physai.tasks import registry


class Still(NamedTuple):
    """Which moment of which episode is shown, from where.

    The first step from that time on in which the guard intervenes, if that is asked for.
    """

    case: str
    at_s: float
    intervened: bool = False
    camera: str = "visitor"


STILLS = {
    "CareFeeding": Still("misuse_reach", 2.0, True),
    "CareNightRound": Still("find_corridor_walker", 7.0),
    "ConstructionTrench": Still("nominal_restricted", 30.0),
    "ConstructionHaul": Still("nominal_crossing", 20.0, True, "valley"),
    "LogisticsCrossing": Still("nominal_cross", 8.0),
    "LogisticsPalletize": Still("nominal_reach", 46.0),
}


def draw_still(name: str, still: Still) -> Image:
    """Run an episode up to its moment, or its end, and draw it."""
    cycle = registry.make_cycle(f"physai/{name}-v0", guard="on")
    first = cycle.environment.distributions["test"].seeds.first
    policy = cycle.scripted_policy("expert", 0)
    policy.reset()
    observation = cycle.reset(cycle.task.sample_scenario(first, "test", still.case))
    while True:
        record = cycle.step(policy.act(observation))
        observation = cycle.observation
        due = record.time_s >= still.at_s
        if due and (record.decision.intervened or not still.intervened):
            break
        if record.terminated or record.truncated:
            break
    picture = Picture(cycle.environment.plant, cycle.task.robot, 800, 600)
    image = draw_step(picture, cycle, record, still.camera)
    picture.close()
    cycle.close()
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tasks"))
    parser.add_argument("--only", nargs="*", default=list(STILLS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        image = draw_still(name, STILLS[name])
        file = options.out / f"{name}.jpg"
        cv2.imwrite(str(file), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        print(file, flush=True)


if __name__ == "__main__":
    main()
