"""Policies: the protocol, signed bundles, and everything that can be loaded as one."""

from __future__ import annotations

from physai.policy.adapters import load_policy
from physai.policy.bundle import read_bundle, verify_bundle, write_bundle
from physai.policy.policy import Policy, PolicyContract

__all__ = [
    "Policy",
    "PolicyContract",
    "load_policy",
    "read_bundle",
    "verify_bundle",
    "write_bundle",
]
