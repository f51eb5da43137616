"""What a user of a command can mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PipelineError(Exception):
    """What the user of a command can mend; one line that says how."""


class InfeasibleBudgetError(PipelineError):
    """No subnet of the space meets the budgets: the answer of a run, not a wrong use of it."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` or the list of choices, to end a message about an unknown word."""
    known = sorted(choices)
    close = get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; choose one of {', '.join(known)}"
