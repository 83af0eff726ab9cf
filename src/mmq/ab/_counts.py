"""What of the logs is counted, what is not, and what to say of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MOST_SEVERAL = 0.01
"""Share of users in several arms above which there is no verdict."""
MOST_WITHOUT_VALUE = 0.01
"""Share of orders without a value above which there is no verdict."""
_FEW = 20


class Counts(NamedTuple):
    """Rows and users by what became of them.

    Attributes:
        exposures: rows of the experiment, within its start and end.
        exposures_incomplete: that lack an event id, a user, a time or an arm; left out.
        exposures_outside: before the experiment's start or after its end; left out.
        exposures_doubled: that repeat an event id; counted once.
        users: who saw one arm.
        users_in_several_arms: left out.
        users_too_recent: whose window is not over yet; left out of the outcomes.
        events: rows of users of the experiment.
        events_of_others: of users who were never exposed; left out.
        events_incomplete: that lack an event id, a user, a time or a kind; left out.
        events_in_the_future: later than now; left out.
        events_doubled: that repeat an event id; counted once.
        events_before: before the user's first exposure; in no outcome, in the covariate.
        events_late: after the user's window; in no outcome.
        orders_without_value: counted as orders, of value 0.
        orders_with_value: the others.
        just_before: events in the twelve hours before the user's first exposure.
        just_after: in the twelve hours after it.
    """

    exposures: int
    exposures_incomplete: int
    exposures_outside: int
    exposures_doubled: int
    users: int
    users_in_several_arms: int
    users_too_recent: int
    events: int
    events_of_others: int
    events_incomplete: int
    events_in_the_future: int
    events_doubled: int
    events_before: int
    events_late: int
    orders_without_value: int
    orders_with_value: int
    just_before: int
    just_after: int

    def notes(self) -> Iterator[str]:
        """A sentence for everything that was left out or is odd."""
        if self.exposures_incomplete:
            yield (
                f"{self.exposures_incomplete:,} exposures lack an event id, a user, a time or an "
                "arm and are left out"
            )
        if self.exposures_outside:
            yield (
                f"{self.exposures_outside:,} exposures lie before the start or after the end of "
                "the experiment and are left out"
            )
        if self.exposures_doubled:
            yield f"{self.exposures_doubled:,} exposures repeat an event id and are counted once"
        if self.users_in_several_arms:
            yield (
                f"{self.users_in_several_arms:,} users were exposed to several arms and are "
                "counted in none"
            )
        if self.users_too_recent:
            yield (
                f"{self.users_too_recent:,} users were exposed too recently for their window to "
                "be over and do not count yet"
            )
        yield from self._of_events()

    def _of_events(self) -> Iterator[str]:
        if self.events_incomplete:
            yield (
                f"{self.events_incomplete:,} events lack an event id, a user, a time or a kind and "
                "are left out"
            )
        if self.events_in_the_future:
            yield (
                f"{self.events_in_the_future:,} events lie in the future and are left out; check "
                "the clock that wrote them"
            )
        if self.events_doubled:
            yield f"{self.events_doubled:,} events repeat an event id and are counted once"
        if self.orders_without_value:
            yield (
                f"{self.orders_without_value:,} orders have no value; they count as orders, and as "
                "0 in revenue"
            )

    def doubts(self) -> Iterator[str]:
        """A sentence for everything that forbids a verdict."""
        everybody = self.users + self.users_in_several_arms
        if self.users_in_several_arms > MOST_SEVERAL * everybody:
            yield (
                f"{self.users_in_several_arms / everybody:.1%} of the users were exposed to "
                "several arms: the assignment does not hold; find out why before you compare arms"
            )
        orders = self.orders_without_value + self.orders_with_value
        if self.orders_without_value > MOST_WITHOUT_VALUE * orders:
            yield (
                f"{self.orders_without_value / orders:.1%} of the orders have no value: revenue "
                "cannot be compared; complete the log"
            )
        if self.just_before > max(self.just_after, _FEW):
            yield (
                f"more events lie in the twelve hours before a user's first exposure than after it "
                f"({self.just_before:,} against {self.just_after:,}): the clocks of the two logs "
                "differ, or their time zones; mend the times"
            )
