"""Copies the content of the site into the standard wheel, and nowhere else."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("envs", "robots", "policies", "configs", "hardware")


class CustomBuildHook(BuildHookInterface):
    """Puts the five folders under ``physai/_content`` of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folders; an editable install uses those of the checkout."""
        if version == "standard":
            for name in FOLDERS:
                build_data["force_include"][str(Path(self.root) / name)] = (
                    f"physai/_content/{name}"
                )
