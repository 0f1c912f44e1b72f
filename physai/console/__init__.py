"""The operator's page in a browser: what the robot sees, how near a limit is, a stop."""

from __future__ import annotations

from physai.console.console import Console

__all__ = ["Console"]
