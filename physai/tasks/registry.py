"""The table of environments."""

from __future__ import annotations

__all__ = ["register_all"]


def register_all() -> None:
    """Register every environment id with Gymnasium."""
