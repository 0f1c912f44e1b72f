"""Plan, check and release: risks, assurance case, stages, and the record of it.

Reads stored verdicts only; nothing here runs a plant.
"""

from __future__ import annotations
