from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from physai.plant.ros import load_bridge
from physai.record.ledger import Ledger
from physai.runtime.robot_server import RobotServer
from physai.tasks import registry

pytest.importorskip("viser")

from physai.console import Console

SEED = 10_000_000


@pytest.fixture
def robot() -> Iterator[RobotServer]:
    cycle = registry.make_cycle("physai/CareFeeding-v0", guard="off")
    server = RobotServer(
        cycle.plant,
        cycle.task.robot,
        load_bridge("franka"),
        cycle.task.sample_scenario(SEED, "test", "nominal_rest"),
        cycle.environment.control_hz,
    )
    server.start()
    yield server
    server.close()
    cycle.close()


def test_the_page_shows_margins_and_its_button_stops_the_robot(
    robot: RobotServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with Ledger.open(ledger) as book:
        book.append("approval", person="A. Tester", stage="full")
    url = f"ws://127.0.0.1:{robot.port}"
    page = Console(load_bridge("franka"), url, port=0, ledger=ledger)
    try:
        page.run(1.5)
        assert np.isfinite(page.margins).all()
        assert (page.margins >= 0.0).all()
        names = [name for name in page._shapes if name.startswith("/people/0/")]
        assert len(names) == 16
        with urllib.request.urlopen(
            f"http://127.0.0.1:{page.port}", timeout=5
        ) as answer:
            assert answer.status == 200
            assert b"<html" in answer.read().lower()
        assert "A. Tester" in page._entries.content
        assert "confirmed" in page.request_stop()
        page.run(0.3)
        assert "stopped" in page._status.content
    finally:
        page.close()


def test_a_dead_link_is_a_violation_and_is_said(robot: RobotServer) -> None:
    page = Console(load_bridge("franka"), f"ws://127.0.0.1:{robot.port}", port=0)
    try:
        page.run(1.0)
        robot.close()
        page.run(2.5)
        assert not (page.margins >= 0.0).all()
        assert "link lost" in page._status.content
        assert "not confirmed" in page.request_stop()
    finally:
        page.close()
