"""What the contracts' errors mean for the person who sees them, and what to do next.

Written for those a user meets; for the others the name and the arguments, which the contracts choose with care, speak.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dmchain.market.abi import Entry
from dmchain.market.hint_texts import HINTS


@dataclass(frozen=True, slots=True)
class Explanation:
    """`text` completes "Name: …"; `hint` is one sentence that says what to do, or None."""

    text: str
    hint: str | None = None


def explain(entry: Entry) -> Explanation:
    """Text and hint for an error; no text when its name says all that is known."""
    text, hint = HINTS.get(entry.name, ("", None))
    return Explanation(text or _first_sentence(entry.notice), hint)


def _first_sentence(notice: str) -> str:
    """The beginning of a NatSpec notice, without links to other declarations."""
    plain = re.sub(r"[:,]? ?(\(see [^)]*\)|see \{[^}]*\})", "", notice).replace("`", "")
    plain = re.sub(r"\{([^}]*)\}", r"\1", plain)
    return re.split(r"\.(?:\s|$)", plain, maxsplit=1)[0].strip()
