"""The end of a run: best policy to ONNX, held-out evaluation, card, signed bundle."""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from tqdm import tqdm

from physai import content
from physai.evaluation import run_suite
from physai.evaluation.held_out import HeldOut, measure_held_out
from physai.policy.bundle import write_bundle
from physai.policy.policy import PolicyContract
from physai.provenance import git_revision, versions
from physai.record.signature import SigningKey, create_key, list_keys, load_key
from physai.tasks import registry
from physai.tasks.environment import EnvironmentConfig
from physai.training.config import TrainConfig
from physai.training.export import check_parity, export_onnx

__all__ = ["finish_run", "signing_key"]

_BEHIND_POINTS = 5.0


def signing_key(name: str = "default") -> SigningKey:
    """Return a person's own key, made on first use outside any repository."""
    # A site may list the key under another name: the file is what counts.
    known = {Path(str(key["own"])).stem for key in list_keys() if key["own"]}
    return load_key(name) if name in known else create_key(name)


def finish_run(
    config: TrainConfig,
    folder: Path,
    model: BaseAlgorithm,
    normalizer: VecNormalize | None,
    progress: dict[str, Any],
) -> dict[str, Any]:
    """Export the best policy of a run, evaluate it and write the bundle.

    Args:
        config: The run's config.
        folder: The run folder.
        model: The learner; its weights become those of the best evaluation.
        normalizer: Its normalisation.
        progress: What the run kept.

    Returns:
        The figures of the held-out evaluation.

    Raises:
        ContractError: If the exported policy differs from the trained one.
    """
    if (folder / "best_model.zip").is_file():
        model.set_parameters(str(folder / "best_model.zip"), device=model.device)
        if normalizer is not None and normalizer.norm_obs:
            stored = pickle.loads((folder / "best_normalizer.pkl").read_bytes())
            normalizer.obs_rms = stored.obs_rms
    onnx = folder / "policy.onnx"
    export_onnx(model, normalizer, onnx)
    env = registry.make(
        config.environment,
        guard=config.guard,
        observation=config.observation,
        distribution="test",
    )
    observations = _observations(env, 300)
    parity = check_parity(model, normalizer, onnx, observations)
    contract = _contract(config, env)
    key = signing_key()
    training = {
        "config_digest": content.digest_value(config.distinctive()),
        "algorithm": config.algorithm,
        "seed": config.seed,
        "steps": int(model.num_timesteps),
        "seconds": round(progress["seconds"], 1),
        "cpu_seconds": round(progress["cpu_seconds"], 1),
        "git_revision": git_revision(),
        "parity": parity,
        "demonstration": progress.get("demonstration", {}),
        "best": progress.get("best") or {},
    }
    if progress.get("changes"):
        # The config's digest alone does not make this run again.
        training["changes"] = progress["changes"]
    write_bundle(
        folder / "bundle",
        model=onnx,
        contract=contract,
        card="# In evaluation\n",
        key=key,
        training=training,
        versions=versions(),
        name=_policy_name(config),
    )
    world = env.unwrapped.environment  # type: ignore[attr-defined]
    env.close()
    figures = _evaluate(config, folder / "bundle")
    (folder / "evaluation").mkdir(exist_ok=True)
    (folder / "evaluation" / "held_out.json").write_text(json.dumps(figures, indent=2))
    training["held_out"] = figures
    write_bundle(
        folder / "bundle",
        model=onnx,
        contract=contract,
        card=write_card(config, world, figures, training, contract),
        key=key,
        training=training,
        versions=versions(),
        name=_policy_name(config),
    )
    if config.evaluation.suite:
        _judge(folder, config.evaluation.suite, config.guard)
    return figures


def _evaluate(config: TrainConfig, bundle: Path) -> dict[str, Any]:
    """Return the figures of the bundle and of the arms that stand beside it."""
    plan = config.evaluation
    own = HeldOut(
        config.environment,
        str(bundle),
        config.guard,
        observation=config.observation,
        trust=True,
    )
    arms = {"held out": (own, plan.final_episodes)}
    if plan.blank_episodes and config.observation == "rgbd":
        arms["every pixel 0"] = (replace(own, dark=True), plan.blank_episodes)
    if plan.compared_episodes:
        # Who knows the state needs no images.
        expert = replace(own, policy="expert", observation="state")
        others = {
            "wide": replace(own, distribution="wide"),
            "expert": expert,
            "expert, wide": replace(expert, distribution="wide"),
            "guard off": replace(own, guard="off"),
        }
        arms |= {name: (arm, plan.compared_episodes) for name, arm in others.items()}
    cores = len(os.sched_getaffinity(0))
    found = {}
    with tqdm(
        total=sum(episodes for _, episodes in arms.values()),
        desc="evaluation",
        disable=not sys.stderr.isatty(),
    ) as bar:
        for name, (arm, episodes) in arms.items():
            found[name] = measure_held_out(
                arm,
                episodes,
                plan.processes or cores,
                progress=lambda _: bar.update() or None,
            )
    figures = found.pop("held out")
    return {**figures, "beside": found}


def _judge(folder: Path, suite: str, guard: str) -> None:
    """Judge the bundle by the suite that the config names."""
    made = run_suite(
        str(folder / "bundle"), suite, guard, out=folder / "evaluation" / suite
    )
    summary = {"suite": suite, "overall": made.verdict.overall, **made.verdict.table}
    file = folder / "evaluation" / "suite.json"
    file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def write_card(
    config: TrainConfig,
    environment: EnvironmentConfig,
    figures: dict[str, Any],
    training: dict[str, Any],
    contract: PolicyContract,
) -> str:
    """Return the model card as Markdown; every figure comes from the run."""
    low, high = figures["safe_success_interval_95"]
    table = figures["table"]
    shown = training["demonstration"]
    reported = "; ".join(
        f"{name} {value:.3g}" for name, value in figures["figures"].items()
    )
    groups = [
        f"| {name} | {row['episodes']} | {row['safe_success']} |"
        for name, row in sorted(figures["groups"].items())
    ]
    broken = ", ".join(f"{k} in {v}" for k, v in figures["unsafe_rules"].items())
    lines = [
        f"# {config.environment}: {config.algorithm}, seed {config.seed}",
        "",
        f"Intended use: {environment.title.en.lower()} by the robot "
        f"`{environment.robot.name}` behind the guard of the safety specification",
        f"`{environment.safety}`, and nowhere else. Not a rated safety function.",
        "",
        "## What it can",
        "",
        f"Held-out evaluation, guard {config.guard}, {figures['episodes']} episodes of the",
        "environment's test distribution (seeds that training never uses):",
        "",
        f"- safe success {figures['safe_success']:.1%} (95 % Clopper-Pearson "
        f"{low:.1%} to {high:.1%})",
        f"- safe failure {table['safe_failure']}, unsafe success "
        f"{table['unsafe_success']}, unsafe failure {table['unsafe_failure']}"
        + (f" (episodes by violated rule: {broken})" if broken else ""),
        f"- mean duration {figures['mean_time_s']:.1f} s; {reported} (mean of what is "
        "reported at the end, largest of maxima)",
        "",
        *_beside(figures),
        "| group of people | episodes | safe successes |",
        "|---|---|---|",
        *groups,
        "",
        *_sight_lines(training, contract),
        "## How it was trained",
        "",
        f"- {config.algorithm} for {training['steps']} steps with guard {config.guard}, "
        f"{training['seconds']:.0f} s; configuration digest "
        f"{training['config_digest'][:16]}",
        f"- demonstrations: {shown.get('episodes', 0)} episodes, {shown.get('samples', 0)} "
        f"pairs; the expert succeeded in {shown.get('expert_success', 0.0):.0%}",
        *(
            [
                f"- it corrects the scripted expert of the environment, by at most "
                f"{contract.residual_scale:g} of an action, and acts with it alone"
            ]
            * bool(contract.residual_scale)
        ),
        f"- git revision {training['git_revision'] or 'unknown'}; ONNX parity "
        f"{training['parity']:.1e}",
        "",
        "## What it cannot",
        "",
        "- All figures are from simulation: screening, not a measurement on people.",
        "- Other robots, tools, scenes and groups of people than those above are out of",
        "  scope; so is any use without a stop within reach of the people concerned.",
        "- It knows of people what "
        + ("images show" if contract.images else "trackers say")
        + "; what they miss it cannot avoid.",
        *_behind(figures),
        "- Not tested here: faults and misuse (suites do that).",
        "",
    ]
    return "\n".join(lines)


def _beside(figures: dict[str, Any]) -> list[str]:
    """Return a table of the policy beside others, on the seeds of each distribution."""
    rows = {"this policy, test": figures, **figures["beside"]}
    if len(rows) == 1:
        return []
    lines = [
        "| arm | episodes | safe success | 95 % | unsafe | mean cost | mean time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        low, high = row["safe_success_interval_95"]
        table = row["table"]
        unsafe = table["unsafe_success"] + table["unsafe_failure"]
        lines.append(
            f"| {name} | {row['episodes']} | {row['safe_success']:.1%} | {low:.1%} to "
            f"{high:.1%} | {unsafe} | {row['mean_cost']:.2f} | {row['mean_time_s']:.1f} s |"
        )
    return [*lines, ""]


def _behind(figures: dict[str, Any]) -> list[str]:
    """Say how far the policy stays behind the expert, where it was set beside it."""
    expert = figures["beside"].get("expert")
    if expert is None:
        return []
    points = 100.0 * (expert["safe_success"] - figures["safe_success"])
    if points <= _BEHIND_POINTS:
        return []
    return [
        f"- It succeeds safely {points:.1f} points less often than the scripted expert, "
        f"more than the {_BEHIND_POINTS:g} that are aimed at."
    ]


def _sight_lines(training: dict[str, Any], contract: PolicyContract) -> list[str]:
    """Return what a card says of a policy from images; nothing for one without."""
    if not contract.images:
        return []
    shown = ", ".join(
        f"`{i.name}` ({i.height} x {i.width} x {i.channels})" for i in contract.images
    )
    errors = training["demonstration"].get("sight_errors", {})
    told = "; ".join(f"{name} {error:.3g}" for name, error in errors.items())
    return [
        "## What it sees",
        "",
        f"Images {shown} in place of what trackers of people and things give,",
        "and these entries: " + ", ".join(contract.observation_names) + ".",
        *(
            [f"Root mean square error of what it tells from images: {told}."]
            * bool(told)
        ),
        "What its actions mean, and the guard, rest on the trackers as ever.",
        "",
    ]


def _policy_name(config: TrainConfig) -> str:
    """Return the name of a policy: physai/CareFeeding-v0, care_feeding.

    One that sees another observation than the usual one says which.
    """
    bare = config.environment.rsplit("/", 1)[-1].split("-v", 1)[0]
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare).lower()
    return name if config.observation == "state" else f"{name}_{config.observation}"


def _observations(env: Any, count: int) -> npt.NDArray[np.float32]:
    """Record observations along expert and random actions."""
    found: list[npt.NDArray[np.float32]] = []
    expert = env.unwrapped.scripted_policy("expert")
    episode = 0
    while len(found) < count:
        observation, _ = env.reset(seed=1000 + episode)
        expert.reset()
        env.action_space.seed(episode)
        done, step = False, 0
        while not done and len(found) < count:
            found.append(np.array(observation))
            action = expert.act(observation) if step % 3 else env.action_space.sample()
            observation, _, terminated, truncated, _ = env.step(action)
            done, step = terminated or truncated, step + 1
        episode += 1
    return np.stack(found)


def _contract(config: TrainConfig, env: Any) -> PolicyContract:
    world = env.unwrapped
    return PolicyContract(
        environment=config.environment,
        observation_names=tuple(world.observation_names),
        action_names=tuple(world.action_names),
        control_hz=float(world.environment.control_hz),
        observation=config.observation,
        images=tuple(world.images),
        residual_scale=config.residual.scale if config.residual else 0.0,
        digests={
            "environment": world.environment.digest,
            "robot": world.cycle.task.robot.digest,
            "safety": world.cycle.spec.digest,
        },
    )
