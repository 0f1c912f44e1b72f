"""The guard: monitor, filter and stop in front of a plant.

It trusts nothing: not the policy, not its solver, not the age of an input. The order
in a step is intake, monitor, stop or filter, re-check. Any exception, missing value or
number that is not finite ends in a stop. This is not a rated safety function.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from physai.safety.filter import Filter, Outcome, Solution
from physai.safety.kernel import all_finite, differs
from physai.safety.monitor import Monitor
from physai.safety.spec import CompiledSpec
from physai.safety.stop import Latch, Release
from physai.types import Action, Array, Command, Decision, State

__all__ = ["Guard"]

_CHANGED = 0.01
"""A command counts as changed beyond this share of the joint speed limit."""


class Guard:
    """Certifies every command of one robot.

    Args:
        spec: The compiled specification.
    """

    def __init__(self, spec: CompiledSpec) -> None:
        self.spec = spec
        self._build(spec)

    def _build(self, spec: CompiledSpec) -> None:
        self.monitor = Monitor(spec, "guard")
        self.filter = Filter(self.monitor)
        self.latch = Latch()
        self._n = len(spec.robot.actuator_names)
        self._last, self._still = np.zeros(self._n), np.zeros(self._n)
        self._tool = np.zeros(len(spec.robot.tool_channels))
        self._words = _words_of(spec)
        self._index = {rule.rule: i for i, rule in enumerate(spec.config.rules)}
        self._clock = -math.inf
        self._sequence = -1
        self._withdraw_axis: Array | None = None
        self._sent: Array | None = None
        self._way = np.zeros(self._n)
        self._backed_steps = 0
        self._kinds = {rule.id: rule.rule for rule in spec.config.rules}

    @property
    def digest(self) -> str:
        """Digest of the specification."""
        return self.spec.digest

    def reset(self) -> None:
        """Begin a new episode or session: windows, latch and last command are gone.

        Only for a plant at standstill; on a robot a person starts each session.
        """
        self.monitor.reset()
        self.latch = Latch()
        self._last = np.zeros(self._n)
        self._tool = np.zeros(len(self._tool))
        self._clock, self._sequence = -math.inf, -1
        self._withdraw_axis, self._backed_steps = None, 0
        self._way[:], self._sent = 0.0, None

    def tighten(self, *, reaction_time_s: float) -> dict[str, float]:
        """Use a longer, measured reaction time for this session.

        Args:
            reaction_time_s: Measured p99 of sensing, link and actuation [s].

        Returns:
            What was tightened, for the record.

        Raises:
            RefusedError: If it would loosen the specification.
        """
        tightened = self.spec.tighten(reaction_time_s=reaction_time_s)
        self.spec = tightened
        self._build(tightened)
        return dict(tightened.tightened)

    def release(self, person: str) -> Release:
        """Release a latched stop; only a person does that.

        Args:
            person: Who does it.

        Raises:
            RefusedError: If nobody is named or nothing is latched.
        """
        record = self.latch.release(person, self._clock)
        self.monitor.reset()
        self._last = np.zeros(self._n)
        self._way[:], self._sent, self._backed_steps = 0.0, None, 0
        return record

    def certify(self, state: State, command: Command) -> tuple[Command, Decision]:
        """Return the command that may be sent, and why.

        Args:
            state: What sensors and trackers say.
            command: What the policy asks for; anything, also nonsense.

        Returns:
            A command that satisfies every rule, and the decision.
        """
        try:
            answer = self._certify(state, command)
        except Exception as error:
            # Whatever went wrong in here, the robot must not go on moving.
            self.latch.engage(Action.STOP1, "exception", self._clock)
            margins = np.full(len(self.spec.rule_names), np.nan)
            answer = self._stopped(
                command,
                margins,
                f"Stopped: the guard failed ({type(error).__name__}).",
                "停止：安全監視の内部エラー。",
            )
        self._sent = answer[0].actuator_velocity
        return answer

    def follow(self, sent: Command) -> None:
        """Learn what was sent instead of the last answer: a guard that only observes.

        Without it, the guard takes it that its answer was sent.

        Args:
            sent: The command that the plant was really given.
        """
        if sent.actuator_velocity.shape == (self._n,):
            self._sent = sent.actuator_velocity

    def _certify(self, state: State, command: Command) -> tuple[Command, Decision]:
        if self._sent is not None:
            self.monitor.follow(self._sent)
        margins = self.monitor.update(state).copy()
        backwards = not state.stamp_s >= self._clock
        self._clock = (
            max(self._clock, state.stamp_s)
            if math.isfinite(state.stamp_s)
            else self._clock
        )
        action, rule = self._worst_active()
        faulty = self._faulty_command(command)
        if backwards or faulty:
            if action < Action.STOP1:
                action, rule = Action.STOP1, "input_integrity"
            margins[self._index["input_integrity"]] = -1.0
        self.latch.engage(action, rule, self._clock)
        if self.latch.engaged:
            en, ja = self._sentences(
                self.latch.rule,
                faulty or ("the clock ran backwards" if backwards else ""),
            )
            return self._stopped(command, margins, en, ja)
        if action == Action.STOP2:
            return self._hold(state, command, margins, rule)
        self._withdraw_axis, self._backed_steps = None, 0
        solution = self.filter.solve(state, command.actuator_velocity, self._last)
        return self._answer(command, margins, solution)

    def _worst_active(self) -> tuple[Action, str]:
        """Return the most restrictive stop among the active rules, and its rule."""
        action, index = self.monitor.worst_action
        if action < Action.STOP2:
            return Action.NONE, ""
        return Action(action), self.spec.rule_names[index]

    def _faulty_command(self, command: Command) -> str:
        """Return what is wrong with a command; empty if nothing is."""
        velocity = command.actuator_velocity
        if velocity.shape != (self._n,):
            return f"the command has {velocity.size} velocities for {self._n} actuators"
        if not (all_finite(velocity) and all_finite(command.tool)):
            return "the command is not a number"
        if not math.isfinite(command.stamp_s):
            return "the command has no time stamp"
        if command.sequence <= self._sequence:
            return "the command repeats or runs backwards"
        self._sequence = command.sequence
        return ""

    def _answer(
        self, command: Command, margins: Array, solution: Solution
    ) -> tuple[Command, Decision]:
        if solution.outcome == Outcome.STANDSTILL:
            action = Action.STOP2
        elif solution.outcome == Outcome.UNCHANGED:
            action = Action.NONE
        elif solution.outcome == Outcome.SCALED:
            action = Action.SLOW
        else:
            action = Action.LIMIT
        intervened = solution.outcome != Outcome.UNCHANGED and bool(
            differs(
                solution.velocity,
                command.actuator_velocity,
                self.spec.robot.velocity_max,
                _CHANGED,
            )
        )
        sent, caps = self._command(command, solution.velocity), self.monitor.caps
        kept = caps.tool_rule >= 0 and not np.array_equal(sent.tool, command.tool)
        en = ja = rule = ""
        if intervened:
            rule = self._rule_id(solution.rule)
            en, ja = self._sentences(rule, "", solution.value)
        elif kept:
            rule = self._rule_id(caps.kinds[caps.tool_rule])
            en, ja = self._sentences(rule, "")
            action = max(action, Action.LIMIT)
        self._last = solution.velocity.copy()
        if differs(self._last, self._still, self.spec.robot.velocity_max, _CHANGED):
            self._way[:] = self._last
        return sent, Decision(action, rule, margins, intervened or kept, en, ja, False)

    def _hold(
        self, state: State, command: Command, margins: Array, rule: str
    ) -> tuple[Command, Decision]:
        """Stop category 2: standstill, or the tool's safe state while near a face."""
        velocity = np.zeros(self._n)
        if self.spec.robot.tool.safe_state == "withdraw":
            velocity = self._withdraw(state)
        if self._kinds.get(rule) == "following" and not velocity.any():
            velocity = self._back_off(state)
        self._last = velocity.copy()
        en, ja = self._sentences(rule, "")
        return self._command(command, velocity, stopped=True), Decision(
            Action.STOP2, rule, margins, True, en, ja, False
        )

    def _back_off(self, state: State) -> Array:
        """Return joint velocities that take a blocked arm back the way that it came.

        What blocks it may be a person between arm and table: holding still would hold
        them (clamping, ISO/TS 15066 5.5.5). Slowly, for a short while, and through the
        filter like every command.
        """
        drives = self.monitor.drives
        if drives is None or not self._way.any():
            return np.zeros(self._n)
        values = drives.values
        self._backed_steps += 1
        if self._backed_steps > values.back_off_s * self.spec.control_hz:
            return np.zeros(self._n)
        share = float((np.abs(self._way) / self.spec.robot.velocity_max).max())
        asked = -values.back_off_share / max(share, 1e-9) * self._way
        return self.filter.solve(state, asked, self._last).velocity

    def _withdraw(self, state: State) -> Array:
        """Return joint velocities that take the utensil straight back from the mouth.

        The direction is the mouth's axis when the withdrawal began; a face that is no
        longer measured does not keep the utensil in the mouth.
        """
        gate, m = self.spec.config.gate, self.monitor
        still = np.zeros(self._n)
        if gate is None or not m.person_near:
            return still
        if self._withdraw_axis is None:
            if not m.gate[2] < gate.withdraw_distance_m or not m.gate[3] < 0.10:
                return still
            self._withdraw_axis = m.mouth_axis(state).copy()
        if not m.gate[2] < gate.withdraw_distance_m:
            return still
        jacobian = m.kinematics.tool_jacobian()
        twist = np.concatenate(
            [gate.withdraw_speed_m_s * self._withdraw_axis, np.zeros(3)]
        )
        damped = jacobian @ jacobian.T + 1e-4 * np.eye(6)
        asked = jacobian.T @ np.linalg.solve(damped, twist)
        return self.filter.solve(state, asked, self._last).velocity

    def _stopped(
        self, command: Command, margins: Array, en: str, ja: str
    ) -> tuple[Command, Decision]:
        self._last = np.zeros(self._n)
        return self._command(command, np.zeros(self._n), stopped=True), Decision(
            self.latch.action, self.latch.rule, margins, True, en, ja, True
        )

    def _command(
        self, asked: Command, velocity: Array, stopped: bool = False
    ) -> Command:
        """Return the command to send; what the tool holds stays held.

        Args:
            asked: What was asked for.
            velocity: (n,) what is permitted.
            stopped: A tool whose safe state is ``keep_on`` stays as it was.
        """
        velocity.setflags(write=False)
        tool, keeps = asked.tool, self.spec.robot.tool.safe_state == "keep_on"
        if tool.shape != self._tool.shape or not all_finite(tool):
            tool = self._tool if keeps else np.zeros(len(self._tool))
        if len(self._tool):
            if stopped and keeps:
                tool = self._tool
            elif not stopped:
                tool = np.maximum(tool, self.monitor.caps.tool_floor)
            self._tool = tool
        stamp = asked.stamp_s if math.isfinite(asked.stamp_s) else self._clock
        return Command(velocity, tool, stamp, max(asked.sequence, self._sequence))

    def _rule_id(self, kind: str) -> str:
        index = self._index.get(kind)
        return self.spec.rule_names[index] if index is not None else kind

    def _sentences(
        self, rule: str, detail: str, excess: float = 0.0
    ) -> tuple[str, str]:
        """Return why, in English and Japanese, with value, limit and its source."""
        words = self._words.get(rule)
        if words is None:
            return f"Stopped: {rule}.", f"停止：{rule}。"
        value = words.limit + excess
        if not (excess and words.speed):
            value = words.sign * float(self.monitor.signals[words.signal])
        ja = words.ja.format(value=value, limit=words.limit)
        if detail:
            return f"Stopped: {detail}. [{words.source}]", ja
        en = words.en.format(value=value, limit=words.limit)
        return f"{en} [{words.source}]", ja


class _Words(NamedTuple):
    """What a rule says when it intervenes."""

    en: str
    ja: str
    source: str
    limit: float
    signal: int
    speed: bool
    """Whether it judges a speed, so that an excess adds to the limit."""
    sign: float
    """-1 where the signal is kept with the other sign."""


def _words_of(spec: CompiledSpec) -> dict[str, _Words]:
    return {
        rule.id: _Words(
            rule.sentence.en,
            rule.sentence.ja,
            rule.limit.source,
            rule.limit.value,
            int(signal),
            rule.limit.unit == "m/s",
            -1.0 if own.sign < 0.0 else 1.0,
        )
        for own, rule, signal in zip(
            spec.rules, spec.config.rules, spec.signal, strict=True
        )
    }
