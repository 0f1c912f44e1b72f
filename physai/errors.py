"""The one exception root of physai.

Every error that a person can cause (a config, a bundle, a message, a URL) is a
:class:`PhysaiError`; the command line prints its text as one sentence on stderr
and exits with code 2. Programming errors keep Python's own exceptions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BundleError",
    "ConfigError",
    "ContentError",
    "ContractError",
    "LinkError",
    "MissingExtraError",
    "PhysaiError",
    "RecordError",
    "RefusedError",
    "suggest",
]


class PhysaiError(Exception):
    """Something that a person can put right; the text is one clear sentence."""


class ContentError(PhysaiError):
    """A content file or folder is missing or unreadable."""


class ConfigError(PhysaiError):
    """A configuration file has a wrong key, type, unit or value."""


class ContractError(PhysaiError):
    """Two parts do not fit: shapes, names, units, rates or digests differ."""


class BundleError(PhysaiError):
    """A policy bundle is incomplete, altered or not signed by a trusted key."""


class RecordError(PhysaiError):
    """A stored episode, ledger or report cannot be read or does not verify."""


class LinkError(PhysaiError):
    """The robot cannot be reached, or what it says cannot be used."""


class RefusedError(PhysaiError):
    """The request is understood and refused for a safety or security reason."""


class MissingExtraError(PhysaiError):
    """An optional dependency is not installed.

    Args:
        extra: The extra of this package that brings it (``sim``, ``train``, ...).
        purpose: What needs it, as the subject of the sentence.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(
            f'{purpose} needs the extra "{extra}": pip install "physai[{extra}]"'
        )
        self.extra = extra


def suggest(word: str, choices: Iterable[str]) -> str:
    """Return the tail of an error sentence: a near match and the valid choices.

    Args:
        word: What was given.
        choices: What would have been valid.

    Returns:
        Text such as ``did you mean "speed"? valid: force, speed``.
    """
    valid = sorted(choices)
    near = difflib.get_close_matches(word, valid, n=1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    return f"{hint}valid: {', '.join(valid) if valid else 'nothing'}"
