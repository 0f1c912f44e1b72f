"""Policies: the protocol, signed bundles, and everything that can be loaded as one."""

from __future__ import annotations

from physai.policy.policy import Policy, PolicyContract

__all__ = ["Policy", "PolicyContract"]
