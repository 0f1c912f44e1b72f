"""physai: physical AI that is developed, demonstrated and trusted.

Importing this package registers the Gymnasium ids and does nothing else.
This software is not a rated safety function.
"""

from __future__ import annotations

from physai.tasks.registry import register_all

__version__ = "0.1.0"
__all__ = ["__version__"]

register_all()
