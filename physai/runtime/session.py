"""Deploy a policy on a robot: checked start, loop, orderly end, and a ledger of it.

A session refuses to start when the digest of the guard differs from the one that the
policy's evidence was made with. It may only tighten the specification, by the measured
round trip. It always ends with the robot stopped.
"""

from __future__ import annotations

import gc
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from physai.body.person import SEGMENT_COUNT
from physai.content import digest_file
from physai.errors import LinkError, PhysaiError, RefusedError
from physai.plant.ros import RosPlant
from physai.policy.adapters import LoadedPolicy, load_policy, observation_of
from physai.provenance import environment_record
from physai.record.episode import EpisodeWriter, StepRecord
from physai.record.ledger import Ledger, verify_ledger
from physai.record.permit import check_permit, load_permit
from physai.record.plain import plain
from physai.runtime.loop import LoopReport, run_loop
from physai.tasks import registry
from physai.tasks.cycle import Cycle
from physai.types import Command, State

__all__ = ["STAGES", "deploy"]

STAGES = ("shadow", "full")
"""Release stages that this version runs; slow and supervised come later."""


def deploy(
    policy: str,
    hardware: str,
    *,
    url: str | None = None,
    stage: str = "full",
    person: str = "",
    duration_s: float | None = None,
    out: Path,
    seed: int = 0,
    stop_after_s: float | None = None,
    trust: bool = False,
    permit: Path | None = None,
) -> dict[str, Any]:
    """Run one session.

    Args:
        policy: As for :func:`physai.policy.adapters.load_policy`.
        hardware: Hardware profile.
        url: Address of the bridge; None takes the profile's.
        stage: ``shadow`` (computed and logged, nothing sent) or ``full``.
        person: Who approves that the robot moves; needed for ``full``.
        duration_s: End after so long.
        out: Folder for the ledger, the episode and ``deploy.json``.
        seed: Of scripted policies.
        stop_after_s: Request a software stop after so long (for drills).
        trust: As for load_policy.
        permit: A signed permit that must allow this; None asks for none.

    Returns:
        The report, as in ``deploy.json``.

    Raises:
        RefusedError: If nobody approves, the stage is unknown, the digests differ or
            the permit does not allow it.
        LinkError: If the robot cannot be reached.
    """
    if stage not in STAGES:
        raise RefusedError(
            f'stage "{stage}" is not run by this version; valid: {", ".join(STAGES)}'
        )
    if stage == "full" and not person.strip():
        raise RefusedError(
            "a robot moves only when a person approves: name who does with "
            "--approved-by NAME, or use --stage shadow"
        )
    from physai.plant.ros import load_bridge

    profile = load_bridge(hardware)
    environment = registry.load_environment(profile.environment)
    out.mkdir(parents=True, exist_ok=True)
    cycle = registry.make_cycle(
        environment, "ros", "on", observation_of(policy), hardware=profile, url=url
    )
    try:
        loaded = load_policy(policy, env=cycle, trust=trust, seed=seed)
        _check_digest(loaded, cycle)
        if permit is not None:
            _check_permit(permit, loaded, cycle, profile.name, stage)
        with Ledger.open(out / "ledger.jsonl") as ledger:
            result = _run(
                cycle,
                loaded,
                ledger,
                out,
                stage,
                person,
                duration_s,
                stop_after_s,
                policy,
            )
        result["ledger_verified"] = verify_ledger(out / "ledger.jsonl", {}).ok
        _keep_report(out, result)
    finally:
        gc.unfreeze()
        cycle.close()
    return result


def _keep_report(out: Path, result: dict[str, Any]) -> None:
    """Write ``deploy.json``; the report of an earlier session keeps its number."""
    file = out / "deploy.json"
    if file.exists():
        try:
            number = int(json.loads(file.read_text(encoding="utf-8"))["session"])
        except (ValueError, KeyError, TypeError):
            number = 0
        file.replace(out / f"deploy_{number:04d}.json")
    text = json.dumps(plain(result, "deploy.json"), indent=2, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def _check_digest(loaded: LoadedPolicy, cycle: Cycle) -> None:
    """Refuse a policy whose evidence was made with another guard or robot."""
    contract = loaded.contract
    here = {"safety": cycle.spec.digest, "robot": cycle.task.robot.digest}
    for name, digest in here.items():
        wanted = "" if contract is None else contract.digests.get(name, "")
        if wanted and wanted != digest:
            what = "guard" if name == "safety" else "robot description"
            raise RefusedError(
                f"the {what} here has the digest {digest[:12]}, the policy's evidence "
                f"was made with {wanted[:12]}: evaluate the policy again with this "
                f"{what} first"
            )


def _check_permit(
    path: Path, loaded: LoadedPolicy, cycle: Cycle, hardware: str, stage: str
) -> None:
    """Refuse what a permit that was signed by a key of this site does not allow."""
    check_permit(
        load_permit(path),
        policy=loaded.digest,
        hardware=hardware,
        stage=stage,  # type: ignore[arg-type]
        digests={
            "environment": cycle.environment.digest,
            "robot": cycle.task.robot.digest,
            "guard": cycle.spec.digest,
        },
    )


def _run(
    cycle: Cycle,
    loaded: LoadedPolicy,
    ledger: Ledger,
    out: Path,
    stage: str,
    person: str,
    duration_s: float | None,
    stop_after_s: float | None,
    policy: str,
) -> dict[str, Any]:
    plant = cycle.plant
    assert isinstance(plant, RosPlant)
    scenario = cycle.task.sample_scenario(
        cycle.environment.distributions["test"].seeds.first, "test"
    )
    _warm_up(cycle, loaded)
    # A full collection takes a tenth of a second and comes when it likes: what is here
    # by now stays for the session, and need not be looked through again.
    gc.collect()
    gc.freeze()
    plant.connect()
    trips = plant.measure_round_trip()
    p99 = float(np.quantile(trips, 0.99))
    needed = plant.period_s + p99 + plant.hardware.maximum_actuator_delay_s
    declared = cycle.spec.config.separation.reaction_time_s
    tightened = cycle.guard.tighten(reaction_time_s=needed) if needed > declared else {}
    session = ledger.last.sequence + 1 if ledger.last is not None else 0
    file = out / f"episode_{session:04d}.parquet"
    ledger.append(
        "deployment",
        episode=file.name,
        policy=policy,
        policy_digest=loaded.digest,
        stage=stage,
        guard_digest=cycle.spec.digest,
        hardware=plant.hardware.name,
        round_trip_p99_s=p99,
        tightened=tightened,
    )
    last: dict[str, Any] = {"rule": "", "action": 0, "steps": 0}

    def start() -> None:
        if stage == "full":
            ledger.append("approval", person=person, stage=stage)
            plant.arm(person)

    def follow(record: StepRecord) -> bool:
        decision = record.decision
        if decision.intervened and (decision.rule, int(decision.action)) != (
            last["rule"],
            last["action"],
        ):
            kind = "stop" if decision.action >= 3 else "intervention"
            ledger.append(
                kind,
                rule=decision.rule,
                action=decision.action.name,
                sentence=decision.sentence,
                time_s=record.time_s,
            )
        last.update(
            steps=last["steps"] + 1,
            rule=decision.rule if decision.intervened else "",
            action=int(decision.action),
        )
        if plant.emergency_stop:
            ledger.append("emergency_stop", time_s=record.time_s)
            return True
        if plant.stopped:
            ledger.append("stop_observed", time_s=record.time_s)
            return True
        if stage == "full" and not plant.armed:
            ledger.append("link_lost", time_s=record.time_s)
            return True
        return stop_after_s is not None and record.time_s >= stop_after_s

    header = {
        "scenario": scenario.model_dump(mode="json"),
        "seed": scenario.seed,
        "case": "deployment",
        "group": "",
        "expect": scenario.expect,
        "guard_mode": "on",
        "plant": "ros",
        "control_hz": cycle.environment.control_hz,
        "environment_id": cycle.environment.id,
        "extras": list(cycle.environment.extras),
        "truth_extras": list(cycle.environment.truth_extras),
        "digests": {"guard": cycle.spec.digest, "policy": loaded.digest},
    }
    steps = None if duration_s is None else max(1, round(duration_s / plant.period_s))
    report = LoopReport(ended="failed")
    try:
        report = run_loop(
            cycle,
            loaded,
            scenario,
            on_step=follow,
            on_start=start,
            writer=EpisodeWriter(file, header),
            maximum_steps=steps,
        )
    except KeyboardInterrupt:
        report = LoopReport(ended="interrupted", steps=last["steps"])
        raise
    finally:
        confirmed = True
        if stage == "full":
            try:
                plant.stop(1)
            except LinkError as error:
                confirmed = False
                ledger.append("stop_not_confirmed", reason=str(error))
        ledger.append(
            "end",
            ended=report.ended,
            steps=report.steps,
            stop_confirmed=confirmed,
            episode_digest=digest_file(file) if file.is_file() else "",
        )
    status = _status(plant)
    # What no sensor tells on a real robot is unknown, not a failure.
    known = bool(np.isfinite(cycle.task.measured(cycle.state).extras).all())
    return {
        **asdict(report),
        "success": report.success if known else None,
        "session": session,
        "episode": file.name,
        "stage": stage,
        "policy": policy,
        "guard_digest": cycle.spec.digest,
        "round_trip_p50_s": float(np.median(trips)),
        "round_trip_p99_s": p99,
        "tightened": tightened,
        "stop_confirmed": confirmed,
        "dropped_commands": plant.dropped_commands,
        "robot": status,
        "environment": environment_record(),
    }


def _warm_up(cycle: Cycle, loaded: LoadedPolicy) -> None:
    """Load compiled code before the link is opened; a pause later would look like a
    dead link to the other side.
    """
    environment, robot = cycle.environment, cycle.task.robot
    n, extras = len(robot.actuator_names), len(environment.extras)
    people = np.full((cycle.spec.config.people_expected, SEGMENT_COUNT, 7), 3.0)
    count = len(people)
    for step in range(3):
        people[:, :, 0] = 3.0 - step
        state = State(
            0.0,
            step,
            robot.home_position.copy(),
            np.zeros(n),
            np.zeros(n),
            0.0,
            environment.plant.base_pose,
            np.zeros(6),
            np.array([0.0] * 6 + [1.0]),
            np.zeros(3),
            0.0,
            people,
            np.zeros((count, SEGMENT_COUNT, 3)),
            np.zeros(count),
            0.0,
            np.zeros((0, 7)),
            np.zeros(0),
            np.full(robot.lidar.rays, robot.lidar.range_max_m)
            if robot.lidar is not None
            else np.zeros(0),
            0.0,
            np.full(extras, 0.5),
            np.zeros(extras),
        )
        action = (
            loaded.act(cycle.task.observe(state))
            if loaded.contract
            else np.zeros(len(cycle.spaces.action_names))
        )
        fast = Command(
            np.full(n, 1.0), np.zeros(len(robot.tool_channels)), 0.0, 2 * step
        )
        cycle.guard.certify(state, fast)
        cycle.guard.certify(state, cycle.task.decode(action, state))
        cycle.scorer.update(state)
        cycle.task.outcome(cycle.task.measured(state))
    cycle.guard.reset()
    loaded.reset()


def _status(plant: RosPlant) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(plant.status().get("message", "{}"))
        return answer
    except (PhysaiError, ValueError):
        return {}
