"""Training with Stable-Baselines3: from a config file to a signed bundle.

The only package that imports torch and Stable-Baselines3. It evaluates what it trains,
so it stands above evaluation.
"""

from __future__ import annotations
