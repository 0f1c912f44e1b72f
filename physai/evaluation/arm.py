"""One policy in one cycle: runs planned episodes and stores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physai.errors import ContractError
from physai.evaluation.facts import rule_facts
from physai.evaluation.forces import force_limits
from physai.evaluation.suite import PlannedEpisode, SuiteConfig
from physai.record.episode import EpisodeWriter

if TYPE_CHECKING:
    from physai.plant.scenario import Scenario
    from physai.policy.adapters import LoadedPolicy
    from physai.policy.policy import Policy
    from physai.tasks.cycle import Cycle

__all__ = ["Arm", "Job", "episode_header", "run_episode"]


@dataclass(frozen=True)
class Job:
    """What every worker needs to build its arm.

    Attributes:
        policy: As in :func:`physai.policy.adapters.load_policy`.
        suite: The suite.
        guard: ``on``, ``observe`` or ``off``.
        plant: Name of the plant.
        folder: Where episodes go.
        planned: Episodes of the whole suite.
        trust: Whether to load what can run code.
        plant_arguments: Further arguments of the plant.
    """

    policy: str
    suite: SuiteConfig
    guard: str
    plant: str
    folder: Path
    planned: int = 0
    trust: bool = False
    plant_arguments: tuple[tuple[str, Any], ...] = ()


class Arm:
    """One policy in one cycle, reused over episodes.

    Args:
        job: What to build.
    """

    def __init__(self, job: Job) -> None:
        from physai.policy.adapters import SCRIPTED, observation_of
        from physai.tasks import registry

        self.job = job
        self.cycle = registry.make_cycle(
            job.suite.environment,
            job.plant,
            job.guard,
            observation_of(job.policy),
            **dict(job.plant_arguments),
        )
        self._scripted = job.policy in SCRIPTED
        self.policy = self._load(0)

    @property
    def digests(self) -> dict[str, str]:
        """Digests of everything that decides the outcome."""
        cycle = self.cycle
        return {
            "policy": self.policy.digest,
            "environment": cycle.environment.digest,
            "robot": cycle.task.robot.digest,
            "guard": cycle.spec.digest,
            "suite": self.job.suite.digest,
        }

    def run(self, planned: PlannedEpisode) -> Path:
        """Run one episode and store it; nothing is stored if it does not end."""
        cycle, job = self.cycle, self.job
        if self._scripted:
            # Keyed by the episode, not by what this worker ran before.
            self.policy = self._load(planned.seed)
        scenario = cycle.task.sample_scenario(
            planned.seed, job.suite.distribution, planned.template
        )
        if scenario.group != planned.group:
            raise ContractError(
                f"{planned.name}: planned for the group {planned.group}, the "
                f"environment drew {scenario.group}"
            )
        header = episode_header(
            cycle,
            scenario,
            case=planned.case,
            kind=planned.template.kind,
            hazard=planned.template.hazard,
            policy=job.policy,
            plant=job.plant,
            digests=self.digests,
            suite={"id": job.suite.id, "planned": job.planned},
            stop_within_s=_budget(job.suite, planned.case),
        )
        writer = EpisodeWriter(
            job.folder / "episodes" / f"{planned.name}.parquet", header
        )
        return run_episode(cycle, self.policy, scenario, writer)

    def close(self) -> None:
        """Release the plant."""
        self.cycle.close()

    def _load(self, seed: int) -> LoadedPolicy:
        from physai.policy.adapters import load_policy

        return load_policy(self.job.policy, self.cycle, self.job.trust, seed=seed)


def run_episode(
    cycle: Cycle, policy: Policy, scenario: Scenario, writer: EpisodeWriter
) -> Path:
    """Run one episode to its end and store it.

    Args:
        cycle: The cycle.
        policy: The policy.
        scenario: What happens.
        writer: Takes the steps; closed only when the episode has ended.

    Returns:
        The episode's file.
    """
    policy.reset()
    observation = cycle.reset(scenario)
    writer.begin(cycle.state, cycle.truth)
    while True:
        record = cycle.step(policy.act(observation))
        writer.append(record)
        observation = cycle.observation
        if record.terminated or record.truncated:
            break
    return writer.close(
        {
            "success": record.success,
            "latched": record.decision.latched,
            "time_s": record.time_s,
            "figures": cycle.figures.values(),
        }
    )


def episode_header(cycle: Cycle, scenario: Scenario, **facts: Any) -> dict[str, Any]:
    """Return the header of an episode, enough to score it without its simulator.

    Args:
        cycle: The cycle that runs it.
        scenario: Its scenario.
        **facts: ``case``, ``kind``, ``hazard``, ``policy``, ``plant``, ``digests``,
            ``suite`` and whatever else is to be kept.
    """
    from physai import __version__

    environment, spec = cycle.environment, cycle.spec
    template = {t.name: t for t in environment.templates}.get(scenario.case)
    return {
        "environment_id": environment.id,
        "robot": cycle.task.robot.name,
        "control_hz": environment.control_hz,
        "extras": list(environment.extras),
        "truth_extras": list(environment.truth_extras),
        "scenario": scenario.model_dump(mode="json"),
        "seed": scenario.seed,
        "case": scenario.case,
        "kind": template.kind if template else "nominal",
        "hazard": template.hazard if template else "",
        "group": scenario.group,
        "expect": scenario.expect,
        "guard_mode": cycle.mode.value,
        "rules": [rule.to_json() for rule in rule_facts(spec)],
        "force_limits": force_limits(spec).to_json(),
        "tightened": dict(spec.tightened),
        "versions": {"physai": __version__},
        "digests": {
            "environment": environment.digest,
            "robot": cycle.task.robot.digest,
            "guard": spec.digest,
        },
        **({"observation": "rgbd"} if cycle.spaces.images else {}),
        **facts,
    }


def _budget(suite: SuiteConfig, case_id: str) -> float | None:
    case = suite.case(case_id)
    return case.stop_within_s if case else None
