"""The one order of a step, used by environments and by the loop on a robot.

    (state held) -> decode -> guard -> apply -> advance -> read -> truth
                 -> margins of the truth -> cost, reward, outcome -> record

Nothing else in the project steps a plant, so that what was trained, evaluated and
deployed went through the same lines.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from physai.errors import ContractError, suggest
from physai.plant.plant import Plant
from physai.plant.scenario import Scenario
from physai.record.episode import StepRecord
from physai.safety import Guard, Monitor, compile_spec, load_spec
from physai.tasks.task import Outcome, Task
from physai.tasks.terms import EpisodeFigures
from physai.types import Action, Array, Command, Decision, State, Truth

if TYPE_CHECKING:
    from physai.policy.policy import Policy
    from physai.tasks.image_observation import ImageObservation

__all__ = ["Cycle", "GuardMode"]


class GuardMode(enum.Enum):
    """What becomes of the guard's answer."""

    ON = "on"
    """The certified command is sent."""
    OBSERVE = "observe"
    """The asked command is sent; the guard's decision is kept."""
    OFF = "off"
    """There is no guard."""

    @classmethod
    def parse(cls, name: str) -> GuardMode:
        """Return the mode of that name.

        Raises:
            ContractError: If there is none.
        """
        try:
            return cls(name)
        except ValueError:
            valid = [mode.value for mode in cls]
            raise ContractError(
                f'no guard mode "{name}": {suggest(str(name), valid)}'
            ) from None


class Cycle:
    """Steps one plant with one task behind one guard.

    Args:
        plant: The plant.
        task: The task.
        mode: What becomes of the guard's answer.
        sight: Puts the plant's images into the observation; None shows none.

    Attributes:
        spec: The compiled safety specification: guard, cost and scorer share it.
        guard: The guard; in mode ``off`` nobody asks it.
        scorer: The same specification's view of the truth.
        state: What the plant last said.
        truth: What really was then; None where the plant has none.
        spaces: Of action and observation, with images where they are shown.
        observation: What the policy is shown next.
        steps: Control steps since reset.
    """

    def __init__(
        self,
        plant: Plant,
        task: Task,
        mode: GuardMode = GuardMode.ON,
        sight: ImageObservation | None = None,
    ) -> None:
        environment = task.environment
        self.plant, self.task, self.mode = plant, task, mode
        self.environment = environment
        self._sight = sight
        self.spaces = task.spaces() if sight is None else sight.spaces
        self._named = len(self.spaces.observation_names)
        self.spec = compile_spec(
            load_spec(environment.safety),
            task.robot,
            environment.control_hz,
            environment.extras,
            environment.truth_extras,
        )
        self.guard = Guard(self.spec)
        self.scorer = Monitor(self.spec, "truth")
        self.figures = EpisodeFigures(environment.truth_extras, environment.figures)
        self.scenario: Scenario | None = None
        self.state: State
        self.truth: Truth | None = None
        self.observation: npt.NDArray[np.float32]
        self.steps = 0
        self.limit = 0
        self._actions = len(self.spaces.action_names)
        self._potential = 0.0
        self._ended, self._powered = True, True

    def reset(self, scenario: Scenario) -> npt.NDArray[np.float32]:
        """Start an episode.

        Args:
            scenario: What happens in it.

        Returns:
            The first observation.
        """
        self.scenario = scenario
        self.limit = max(1, round(scenario.duration_s * self.environment.control_hz))
        self.guard.reset()
        self.scorer.reset()
        self.figures.reset()
        self.state = self.plant.reset(scenario)
        self.truth = self.plant.truth()
        truth = self._truth_or_measured()
        self.scorer.update(truth.state, self.truth)
        nothing = Command(
            np.zeros(len(self.task.robot.actuator_names)),
            np.zeros(len(self.task.robot.tool_channels)),
            self.state.stamp_s,
            self.state.sequence,
        )
        self._potential = self.task.reward(truth, nothing).potential
        self.steps, self._ended, self._powered = 0, False, True
        self.observation = self._observe()
        return self.observation

    def step(self, action: npt.NDArray[Any]) -> StepRecord:
        """Do one control step.

        Args:
            action: (a,) the policy's action.

        Returns:
            Everything about the step; none of its arrays is reused.

        Raises:
            ContractError: If the action has the wrong shape, is not finite while no
                guard stands behind it, or the episode is over.
        """
        given = self._checked(action)
        # Camera images are no part of an episode (physai/record/privacy.py).
        shown, before = self.observation[: self._named], self.state
        asked = self.task.decode(given, before)
        certified, decision = self._certify(before, asked)
        if decision.action is Action.STOP0 and self.mode is GuardMode.ON:
            self._remove_power()
        sent = self.plant.apply(certified)
        if getattr(self.plant, "plays_back", False):
            # What moved then had followed what was sent then.
            self.guard.follow(sent)
        self.plant.advance()
        self.state = self.plant.read()
        self.truth = self.plant.truth()
        self.steps += 1
        truth = self._truth_or_measured()
        margins = self.scorer.update(truth.state, self.truth).copy()
        active = self.scorer.any_active
        cost = self.cost_of(margins, self.scorer.active) if active else 0.0
        earned = self.task.reward(truth, sent)
        # Without the discount, a learner that discounts is paid for lingering at a high
        # potential instead of finishing (Ng, Harada and Russell 1999).
        shaping = self.environment.discount * earned.potential - self._potential
        reward = shaping + earned.rate
        self._potential = earned.potential
        outcome = self.task.outcome(truth)
        # A heavy machine takes a second or two to stop; what it hits meanwhile counts.
        stopped = (
            self.mode is GuardMode.ON
            and decision.latched
            and self._stands(truth.state.actuator_velocity)
        )
        if stopped:
            cost += self._remaining_cost(cost)
        self.figures.update(truth, cost, decision.intervened)
        if self.mode is GuardMode.OFF:
            decision = _unguarded(margins)
        self.observation = self._observe()
        return self._record(
            given, asked, sent, decision, margins, reward, cost, outcome, shown, stopped
        )

    def cost_of(self, margins: Array, active: npt.NDArray[np.bool_]) -> float:
        """Return the specification's cost of one step.

        A rule that is violated for longer than its hold window costs its weight, and
        its weight again for every unit of the normalised margin below 0; NaN counts
        as one unit.

        Args:
            margins: (r,) of the truth view.
            active: (r,) whether each rule's window has passed.
        """
        depth = 1.0 - np.nan_to_num(margins, nan=-1.0)
        counted = active & ~(margins >= 0.0)
        return float(self.spec.cost_weight @ np.where(counted, depth, 0.0))

    def scripted_policy(self, name: str, seed: int = 0) -> Policy:
        """Return ``expert``, ``random``, ``random_white``, ``zero`` or ``adversary``.

        Raises:
            ContractError: If there is none of that name.
        """
        from physai.tasks.scripted import scripted_policy

        return scripted_policy(name, self, seed)

    def stop(self, category: int) -> None:
        """Stop the plant (EN 60204-1 category 0, 1 or 2) and end the episode."""
        self._ended = True
        self.plant.stop(category)

    def close(self) -> None:
        """Release the plant; twice does no harm."""
        self.plant.close()

    def _checked(self, action: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        if self._ended:
            raise ContractError("the episode is over, or never began: call reset first")
        try:
            given = np.array(action, dtype=np.float64)
        except (TypeError, ValueError):
            raise ContractError("the action is not an array of numbers") from None
        if given.shape != (self._actions,):
            raise ContractError(
                f"the action has the shape {given.shape}, expected ({self._actions},)"
            )
        if self.mode is not GuardMode.ON and not math.isfinite(given.sum()):
            raise ContractError(
                "the action is not finite, and no guard is on that would stop"
            )
        return given

    def _observe(self) -> npt.NDArray[np.float32]:
        seen = self.task.observe(self.state)
        return seen if self._sight is None else self._sight.observe(self.state, seen)

    def _certify(self, state: State, asked: Command) -> tuple[Command, Decision]:
        if self.mode is GuardMode.OFF:
            return asked, _NOBODY
        certified, decision = self.guard.certify(state, asked)
        if self.mode is GuardMode.ON:
            return certified, decision
        self.guard.follow(asked)
        return asked, decision

    def _remove_power(self) -> None:
        """Stop by category 0, once: a drive that does not obey is not asked to brake."""
        if self._powered:
            self._powered = False
            self.plant.stop(0)

    def _stands(self, velocity: Array) -> bool:
        """Return whether the robot stands still, but for the noise of a speed."""
        moving = np.abs(velocity) > _STANDSTILL * self.task.robot.velocity_max
        return not moving.any()

    def _truth_or_measured(self) -> Truth:
        return self.truth if self.truth is not None else self.task.measured(self.state)

    def _remaining_cost(self, cost: float) -> float:
        """Charge the steps that a latched stop saves, so that stopping never pays."""
        each = max(cost, self.environment.latched_stop_cost_per_step)
        return each * (self.limit - self.steps)

    def _record(
        self,
        action: Array,
        asked: Command,
        sent: Command,
        decision: Decision,
        margins: Array,
        reward: float,
        cost: float,
        outcome: Outcome,
        shown: npt.NDArray[np.float32],
        stopped: bool,
    ) -> StepRecord:
        terminated = outcome.finished or stopped
        truncated = self.steps >= self.limit and not terminated
        self._ended = terminated or truncated
        return StepRecord(
            state=self.state,
            truth=self.truth,
            action=action,
            command_asked=asked,
            command_sent=sent,
            decision=decision,
            truth_margins=margins,
            reward=reward,
            cost=cost,
            time_s=self.steps / self.environment.control_hz,
            terminated=terminated,
            truncated=truncated,
            success=outcome.success and not stopped,
            observation=shown,
        )


_STANDSTILL = 0.02
"""Share of an actuator's speed limit below which it counts as still."""

_NOBODY = Decision(Action.NONE, "", np.zeros(0), False)


def _unguarded(margins: Array) -> Decision:
    """Return the decision of no guard; its margins are the scorer's."""
    return Decision(Action.NONE, "", margins, False)
