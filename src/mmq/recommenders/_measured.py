"""Who of a log is measured, and who is left out for what reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmq.data._interactions import Interactions
from mmq.data._sequences import Cases


@dataclass(frozen=True)
class Measured:
    """Users of a log by what became of them in one held-out part; they sum to ``users``.

    Attributes:
        users: all users of the log.
        measured: those with a case.
        nothing_liked: none of their interactions is a positive.
        too_few: left out by ``min_interactions``, themselves or all of their items.
        nothing_held_out: none of their interactions is in the part: it ends before the part
            begins, or they have too few for leave-one-out.
        no_history: nothing of theirs lies before what is held out. Where such new users are
            measured, they count as measured too, and ``users`` is the sum of the others.
        new_users_measured: whether they are.
        cases: held-out items, each once for a user and history, of users without history too.
        without_history: those of them that have none.
    """

    users: int
    measured: int
    nothing_liked: int
    too_few: int
    nothing_held_out: int
    no_history: int
    new_users_measured: bool
    cases: int
    without_history: int

    @classmethod
    def of(
        cls,
        stages: tuple[Interactions, Interactions, Interactions],
        held_out: np.ndarray,
        cases: Cases,
        new_users: bool,
    ) -> Measured:
        """The counts of a part.

        Args:
            stages: the log, what of it is positive, and what of that is kept.
            held_out: ``(kept interactions,)`` bool, those of the part.
            cases: that were made of them, of users without a history too.
            new_users: whether these are measured.
        """
        whole, liked, kept = (len(log.users.ids) for log in stages)
        empty = cases.histories.lengths == 0
        known = np.unique(cases.users[~empty])
        new = np.setdiff1d(cases.users[empty], known)
        users = stages[2].users.codes[held_out]
        return cls(
            users=whole,
            measured=len(known) + (len(new) if new_users else 0),
            nothing_liked=whole - liked,
            too_few=liked - kept,
            nothing_held_out=kept - len(np.unique(users)),
            no_history=len(new),
            new_users_measured=new_users,
            cases=len(cases.targets),
            without_history=int(np.count_nonzero(empty)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """How many users are measured, and why the others are not."""
        reasons = {
            "liked nothing": self.nothing_liked,
            "have too few interactions (or their items have)": self.too_few,
            "have nothing in this part": self.nothing_held_out,
            "have no history before it": 0 if self.new_users_measured else self.no_history,
        }
        left_out = ", ".join(f"{count:,} {why}" for why, count in reasons.items() if count)
        sentence = f"{self.measured:,} of {self.users:,} users are measured"
        if self.new_users_measured and self.no_history:
            sentence += (
                f", {self.no_history:,} of them without a history, who are given what is popular"
            )
        return f"{sentence}; of the others {left_out}" if left_out else sentence
