"""Every kind of scenario of every environment and suite can begin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from physai import content
from physai.evaluation.suite import load_suite
from physai.tasks import registry
from physai.tasks.environment import ScenarioTemplate

SEEDS = 4


def kinds(env_id: str) -> Iterator[tuple[str, ScenarioTemplate]]:
    """Yield distribution and template of an environment and its suites' own cases."""
    environment = registry.load_environment(env_id)
    for distribution in environment.distributions:
        for template in environment.templates:
            yield distribution, template
    for name in content.names("suites"):
        suite = load_suite(name)
        if suite.environment == env_id:
            for case in suite.cases:
                if case.scenario is not None:
                    yield suite.distribution, case.scenario


@pytest.mark.parametrize("env_id", registry.ids())
def test_no_scenario_starts_in_something(env_id: str) -> None:
    cycle = registry.make_cycle(env_id, guard="off")
    for distribution, template in kinds(env_id):
        first = cycle.environment.distributions[distribution].seeds.first + 3000
        for seed in range(first, first + SEEDS):
            cycle.reset(cycle.task.sample_scenario(seed, distribution, template))
    cycle.close()
