"""A page for whoever stands beside a robot: scene, margins, stop, ledger.

The console listens to the robot over the bridge as any client does and never arms it.
Its margins are computed here, from what it hears, by the same specification as the
guard's. The button on it is a *software* stop request; the emergency stop is a separate
circuit.
"""

from __future__ import annotations

import html
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
import viser

from physai.body.capsules import turn_from_z
from physai.errors import LinkError
from physai.plant.ros import BridgeConfig, RosPlant
from physai.robot.kinematics import Kinematics
from physai.safety import Monitor, compile_spec, load_spec
from physai.tasks import registry
from physai.tasks.task import Task
from physai.types import Array, State

__all__ = ["Console"]

_ROBOT, _TOOL = (225, 228, 232), (40, 110, 190)
_SKIN, _CLOTHES, _TROUSERS = (214, 168, 140), (80, 130, 140), (70, 80, 105)
_PERSON = tuple(
    {"s": _SKIN, "c": _CLOTHES, "t": _TROUSERS}[letter] for letter in "ssscctccsssstttt"
)
"""Colours of the segments, as in :mod:`physai.body.person`."""
_GOOD, _BAD = "#2b7a4b", "#b3362c"
_LENGTH_TOLERANCE_M = 0.005


class Console:
    """The operator's page for one robot.

    Args:
        hardware: Profile of the robot.
        url: Overrides the profile's address.
        host: Where the page is served; loopback unless a proxy guards it.
        port: Of the page; 0 lets the system choose.
        ledger: Ledger whose last entries are shown.

    Attributes:
        port: The port in use.
        margins: (r,) margins of the last state.

    Raises:
        LinkError: If the robot cannot be reached.
    """

    def __init__(
        self,
        hardware: BridgeConfig,
        url: str | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        ledger: Path | None = None,
    ) -> None:
        self.environment = registry.load_environment(hardware.environment)
        task = registry.make_task(self.environment)
        self._ledger = ledger
        self._plant = RosPlant(self.environment.plant, task.robot, hardware, url)
        self._plant.connect()
        self._prepare(task)
        try:
            self._server = viser.ViserServer(host=host, port=port, verbose=False)
        except OSError as error:
            self._plant.close()
            raise LinkError(
                f"{host}:{port}: the page cannot be served ({error.strerror}); "
                "choose another --port"
            ) from None
        self.port = int(self._server.get_port())
        self._shapes: dict[str, tuple[float, float, Any]] = {}
        self._build_scene()
        self._build_panel()

    def _prepare(self, task: Task) -> None:
        environment = self.environment
        self._robot = task.robot
        self._spec = compile_spec(
            load_spec(environment.safety),
            task.robot,
            environment.control_hz,
            environment.extras,
            environment.truth_extras,
        )
        self._monitor = Monitor(self._spec, "guard")
        self._kinematics = Kinematics(task.robot, environment.plant.base_pose)
        self.margins: Array = np.full(len(self._spec.rule_names), np.nan)

    def run(self, seconds: float | None = None) -> None:
        """Keep the page up to date until interrupted, or for so many seconds."""
        period = 1.0 / self.environment.control_hz
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            self.update()
            time.sleep(period)

    def update(self) -> None:
        """Show what the robot says now."""
        state = self._plant.read()
        self.margins = self._monitor.update(state).copy()
        if np.isfinite(state.actuator_position).all():
            self._place_robot(state)
        self._place_people(state)
        self._status.content = self._status_text(state)
        self._table.content = self._margin_table()
        if self._ledger is not None:
            self._entries.content = _last_entries(self._ledger)

    def request_stop(self) -> str:
        """Ask the robot for a software stop; returns what is shown about it."""
        try:
            self._plant.stop(1)
        except LinkError as error:
            return f"**not confirmed**: {error}"
        return "stop requested and confirmed; a person resets it at the robot"

    def close(self) -> None:
        """Close page and link; twice does no harm."""
        self._server.stop()
        self._plant.close()

    def _build_scene(self) -> None:
        scene = self._server.scene
        scene.set_up_direction("+z")
        x, y, z = self.environment.plant.base_pose[:3].tolist()
        self._server.initial_camera.position = (x + 1.0, y - 1.6, z + 0.8)
        self._server.initial_camera.look_at = (x + 0.5, y, z + 0.3)
        scene.add_grid("/floor", width=4.0, height=4.0, cell_size=0.25)
        for box in self.environment.plant.scene.boxes:
            scene.add_box(
                f"/furniture/{box.name}",
                color=_rgb(box.color),
                dimensions=box.size_m,
                position=box.center_m,
            )
        for cylinder in self.environment.plant.scene.cylinders:
            mesh = trimesh.creation.cylinder(cylinder.radius_m, cylinder.height_m)
            scene.add_mesh_simple(
                f"/furniture/{cylinder.name}",
                mesh.vertices,
                mesh.faces,
                color=_rgb(cylinder.color),
                position=cylinder.center_m,
            )

        self._build_zones()

    def _build_zones(self) -> None:
        """Draw where the tool may be, and the zone of reduced speed at the face."""
        scene, spec = self._server.scene, self._spec.config
        if spec.workspace is not None:
            low = np.array(spec.workspace.minimum_m)
            high = np.array(spec.workspace.maximum_m)
            corners = np.array(list(itertools.product((0, 1), repeat=3)))
            edges = [
                (a, b)
                for a, b in itertools.combinations(corners, 2)
                if np.abs(a - b).sum() == 1
            ]
            scene.add_line_segments(
                "/zones/workspace",
                points=low + np.array(edges) * (high - low),
                colors=(60, 120, 190),
                thickness=1.5,
                thickness_units="screen",
            )
        self._face_zone = None
        if spec.gate is not None:
            self._face_zone = scene.add_icosphere(
                "/zones/face",
                radius=spec.gate.face_zone_m,
                color=(200, 120, 20),
                opacity=0.12,
                cast_shadow=False,
                receive_shadow=False,
            )

    def _build_panel(self) -> None:
        gui = self._server.gui
        gui.configure_theme(show_logo=False)
        gui.main_panel.dock_right()
        gui.set_panel_label(f"physai: {self._plant.hardware.name}")
        gui.add_markdown(
            "Not a rated safety function. The emergency stop is at the robot."
        )
        button = gui.add_button("Request stop", color="red")
        self._answer = gui.add_markdown("")

        @button.on_click
        def _(event: Any) -> None:
            self._answer.content = self.request_stop()

        self._status = gui.add_markdown("")
        self._table = gui.add_html("")
        self._entries = gui.add_markdown("")
        gui.add_markdown(
            "Blue box: workspace of the tool. Amber: zone of reduced speed at the face."
        )

    def _place_robot(self, state: State) -> None:
        self._kinematics.update(state.actuator_position)
        utensil = self._robot.shapes.utensil
        for index, row in enumerate(self._kinematics.capsules()):
            name = f"/robot/{self._robot.shapes.names[index]}_{index}"
            self._place(name, row, _TOOL if utensil[index] else _ROBOT)

    def _place_people(self, state: State) -> None:
        for p, person in enumerate(state.people):
            for s, row in enumerate(person):
                if np.isfinite(row).all():
                    self._place(f"/people/{p}/{s}", row, _PERSON[s])
        names = self.environment.extras
        if self._face_zone is not None and "mouth_x_in_world_m" in names:
            first = names.index("mouth_x_in_world_m")
            mouth = state.extras[first : first + 3]
            if np.isfinite(mouth).all() and len(mouth) == 3:
                self._face_zone.position = mouth

    def _place(self, name: str, row: Array, color: tuple[int, int, int]) -> None:
        axis = row[3:6] - row[:3]
        length, radius = float(np.linalg.norm(axis)), float(row[6])
        known = self._shapes.get(name)
        changed = known is None or (
            abs(known[0] - length) + abs(known[1] - radius) > _LENGTH_TOLERANCE_M
        )
        if changed:
            mesh = trimesh.creation.capsule(length, radius, count=[16, 16])
            mesh.apply_translation(-mesh.bounds.mean(axis=0))
            handle = self._server.scene.add_mesh_simple(
                name, mesh.vertices, mesh.faces, color=color
            )
            self._shapes[name] = known = (length, radius, handle)
        assert known is not None
        x, y, z, w = turn_from_z(axis)
        known[2].position = 0.5 * (row[:3] + row[3:6])
        known[2].wxyz = np.array([w, x, y, z])

    def _status_text(self, state: State) -> str:
        plant = self._plant
        link = "linked" if plant.node.is_connected else "**link lost**"
        stops = "**emergency stop pressed**" if plant.emergency_stop else ""
        stops = stops or ("**stopped**" if plant.stopped else "no stop")
        oldest = float(state.people_age_s.max(initial=0.0))
        stage = _stage(self._ledger) if self._ledger is not None else ""
        return (
            f"{link}, {stops}{stage}  \njoints {_age(state.actuator_age_s)}, people "
            f"{len(state.people)} ({_age(max(oldest, state.people_frame_age_s))})"
        )

    def _margin_table(self) -> str:
        rows = []
        order = np.argsort(np.nan_to_num(self.margins, nan=-np.inf))
        for index in order[:10]:
            margin = float(self.margins[index])
            rule = self._spec.config.rules[index]
            good = margin >= 0.0
            color = _GOOD if good else _BAD
            # Where a limit is a count of 0, nothing lies between kept and violated.
            full = not good or rule.limit.unit == "count"
            width = 100.0 if full else 100.0 * min(1.0, max(0.03, margin))
            rows.append(
                f"<tr><td>{html.escape(rule.title.en)}<br><small>"
                f"{html.escape(rule.title.ja)}</small></td><td style='width:40%'>"
                f"<div style='background:{color};height:.7em;width:{width:.0f}%'></div>"
                "</td></tr>"
            )
        return (
            "<div style='font-size:.8em;margin:.4em 0'><b>Margins</b>, the smallest "
            "first: full is far from the limit, red is beyond it</div>"
            f"<table style='width:100%;font-size:.8em'>{''.join(rows)}</table>"
        )


def _rgb(color: Any) -> tuple[int, int, int]:
    red, green, blue = (round(255 * float(value)) for value in color)
    return red, green, blue


def _age(age_s: float) -> str:
    return f"{age_s:.2f} s old" if np.isfinite(age_s) else "never heard"


def _stage(ledger: Path) -> str:
    """Return the stage of the session that runs, as its ledger says."""
    if not ledger.is_file():
        return ""
    for text in reversed(ledger.read_text(encoding="utf-8").splitlines()):
        try:
            entry = json.loads(text)
        except ValueError:
            continue
        if entry.get("kind") == "end":
            return ", no session"
        if entry.get("kind") == "deployment":
            return f", stage {entry['facts'].get('stage', '?')}"
    return ""


def _last_entries(ledger: Path, count: int = 8) -> str:
    """Return the last entries of a ledger as a Markdown list, the newest first."""
    if not ledger.is_file():
        return f"{ledger}: no ledger yet"
    lines = ["**Ledger**, the newest first"]
    for text in ledger.read_text(encoding="utf-8").splitlines()[-count:][::-1]:
        try:
            entry = json.loads(text)
        except ValueError:
            continue
        facts = entry.get("facts", {})
        words = (
            facts.get(k) for k in ("sentence", "person", "reason", "ended", "stage")
        )
        said = next((word for word in words if word), "")
        lines.append(f"- `{entry.get('kind', '?')}` {str(said).split(' [')[0]}")
    return "\n\n".join([lines[0], "\n".join(lines[1:])])
