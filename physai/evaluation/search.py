"""Look for rare failures: search the scenarios for the smallest margin.

For every case of a suite, the ranges of its template (what people do and when, where
they sit, where the tool starts) span a box; CMA-ES (Hansen and Ostermeier 2001, library
``cma``) walks through it toward the smallest true margin of a hard rule. A failure that
is found is kept as a scenario and as an episode that replays; how often a search finds
one is never a rate of failure, since it looks where failures are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from physai.errors import ContractError, MissingExtraError, RecordError
from physai.evaluation.arm import episode_header
from physai.evaluation.search_space import SearchSpace
from physai.evaluation.suite import SuiteConfig, check_suite, load_suite, template_of
from physai.policy.adapters import load_policy, observation_of
from physai.provenance import environment_record
from physai.randomness import derive_seed
from physai.record.episode import EpisodeWriter
from physai.tasks import registry
from physai.tasks.cycle import Cycle

__all__ = ["CaseResult", "Found", "search"]

_NOTE = (
    "A search looks where failures are: what it finds is a list of scenarios to mend, "
    "never a rate."
)


@dataclass(frozen=True)
class Found:
    """A failure.

    Attributes:
        episode: File of the episode; ``physai replay`` runs it again.
        scenario: File of the scenario.
        rules: Hard rules that were violated.
        margin: Smallest normalised margin of one of them.
    """

    episode: str
    scenario: str
    rules: tuple[str, ...]
    margin: float


@dataclass
class CaseResult:
    """What the search did in one case.

    Attributes:
        case: Case id.
        episodes: How many were run.
        dimensions: Names of what was varied.
        best_margin: Smallest margin seen.
        found: Failures, in the order in which they were found.
    """

    case: str
    episodes: int = 0
    dimensions: tuple[str, ...] = ()
    best_margin: float = float("inf")
    found: list[Found] = field(default_factory=list)


def search(
    policy: str,
    suite: str | SuiteConfig,
    budget: int,
    seed: int = 0,
    out: Path = Path("search"),
    guard: str = "on",
    *,
    plant: str = "bullet",
    trust: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Search every case of a suite for failures.

    Args:
        policy: As in :func:`physai.policy.adapters.load_policy`.
        suite: Name, path or configuration.
        budget: Episodes in all, shared by the cases.
        seed: Of the search.
        out: Folder for ``search.json`` and ``found/``.
        guard: ``on``, ``observe`` or ``off``.
        plant: Name of the plant.
        trust: Load what can run code or is not signed by a trusted key.
        progress: Show a bar on stderr when it is a terminal.

    Returns:
        JSON values, as in ``search.json``.

    Raises:
        ContractError: If the budget is smaller than the number of cases.
        MissingExtraError: Without the library ``cma``.
        PhysaiError: If suite, policy or plant cannot be used.
    """
    config = load_suite(suite) if isinstance(suite, str) else suite
    if budget < len(config.cases):
        raise ContractError(
            f"{config.id} has {len(config.cases)} cases: the budget must be at least "
            "one episode for each"
        )
    cycle = registry.make_cycle(
        config.environment, plant, guard, observation_of(policy)
    )
    try:
        environment = cycle.environment
        check_suite(config, environment)
        loaded = load_policy(policy, cycle, trust, seed=seed)
        shares = _shares(budget, len(config.cases))
        results = []
        with tqdm(
            total=budget,
            desc="search",
            disable=not (progress and sys.stderr.isatty()),
        ) as bar:
            for case, share in zip(config.cases, shares, strict=True):
                template = template_of(case, environment)
                space = SearchSpace(environment, config.distribution, template)
                hunt = _Hunt(cycle, loaded, config, case.id, space, out, policy)
                results.append(
                    hunt.run(share, derive_seed(seed, f"search.{case.id}"), bar.update)
                )
        value = {
            "schema": "physai/search/1",
            "note": _NOTE,
            "policy": policy,
            "suite": config.id,
            "guard": guard,
            "plant": plant,
            "budget": budget,
            "seed": seed,
            "digests": {
                "policy": loaded.digest,
                "environment": environment.digest,
                "robot": cycle.task.robot.digest,
                "guard": cycle.spec.digest,
                "suite": config.digest,
            },
            "cases": [asdict(result) for result in results],
            "failures": sum(len(result.found) for result in results),
            "environment": environment_record(),
        }
    finally:
        cycle.close()
    _write_json(out / "search.json", value)
    return value


def _shares(budget: int, cases: int) -> list[int]:
    each, rest = divmod(budget, cases)
    return [each + (place < rest) for place in range(cases)]


class _Hunt:
    """Searches one case."""

    def __init__(
        self,
        cycle: Cycle,
        policy: Any,
        suite: SuiteConfig,
        case: str,
        space: SearchSpace,
        out: Path,
        policy_name: str,
    ) -> None:
        self.cycle, self.policy, self.suite, self.space = cycle, policy, suite, space
        self.out, self.policy_name = out, policy_name
        self.result = CaseResult(case, dimensions=space.names)
        self._hard = cycle.spec.hard
        # One noise for the whole case: the search compares scenarios, not luck.
        self._seed = suite.seeds.first

    def run(self, budget: int, seed: int, step: Callable[[int], object]) -> CaseResult:
        try:
            import cma
        except ModuleNotFoundError:
            raise MissingExtraError("search", "the search for failures") from None

        dimensions = max(2, len(self.space.names))
        strategy = cma.CMAEvolutionStrategy(
            [0.5] * dimensions,
            0.3,
            {"bounds": [0.0, 1.0], "seed": seed % 2**31 + 1, "verbose": -9},
        )
        while self.result.episodes < budget:
            points = strategy.ask()
            left = budget - self.result.episodes
            values = []
            for point in points[:left]:
                values.append(self._try(point[: len(self.space.names)]))
                step(1)
            if len(values) < len(points):
                break
            strategy.tell(points, values)
        return self.result

    def _try(self, point: npt.NDArray[np.float64]) -> float:
        """Run one episode; returns its smallest margin and keeps it if it failed."""
        cycle = self.cycle
        scenario = cycle.task.sample_scenario(
            self._seed, self.suite.distribution, self.space.at(point)
        )
        number = self.result.episodes
        self.result.episodes += 1
        name = f"{self.result.case}_{number:04d}"
        header = episode_header(
            cycle,
            scenario,
            case=self.result.case,
            kind=self.space.template.kind,
            hazard=self.space.template.hazard,
            policy=self.policy_name,
        )
        writer = EpisodeWriter(self.out / "found" / f"{name}.parquet", header)
        margin, violated = self._run(scenario, writer)
        self.result.best_margin = min(self.result.best_margin, margin)
        if violated:
            episode = writer.close({"success": False})
            file = self.out / "found" / f"{name}.json"
            _write_json(file, scenario.model_dump(mode="json"))
            self.result.found.append(
                Found(str(episode), str(file), tuple(sorted(violated)), margin)
            )
        return margin

    def _run(self, scenario: Any, writer: EpisodeWriter) -> tuple[float, set[str]]:
        cycle, names = self.cycle, self.cycle.spec.rule_names
        observation = cycle.reset(scenario)
        self.policy.reset()
        writer.begin(cycle.state, cycle.truth)
        smallest, violated = np.inf, set()
        while True:
            record = cycle.step(self.policy.act(observation))
            observation = cycle.observation
            writer.append(record)
            margins = record.truth_margins
            if margins is not None:
                hard = np.nan_to_num(margins[self._hard], nan=-1.0)
                smallest = min(smallest, float(hard.min()))
                bad = cycle.scorer.active & self._hard & ~(margins >= 0.0)
                violated |= {names[int(i)] for i in np.flatnonzero(bad)}
            if record.terminated or record.truncated:
                return float(smallest), violated


def _write_json(file: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordError(f"{file}: cannot be written ({error.strerror})") from None
