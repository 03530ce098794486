"""Runs a shop's history through a draft: reads, replays, adds up. Writes nothing."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from psycopg.errors import QueryCanceled
from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import OperationalError

from rewards.core.progress import Progress, unheard
from rewards.decide import Submission, decide
from rewards.decide.commands import Settle
from rewards.ledger.load import load
from rewards.ledger.needs import Needs
from rewards.ledger.state import Entry
from rewards.preview.customer import ACTOR, CustomerReplay, Programs, Shared, count_stored
from rewards.preview.facts import (
    count_customers,
    customers_at_random,
    portions,
    read_histories,
    take_snapshot,
)
from rewards.preview.report import Change, PreviewReport
from rewards.preview.tally import Tally, Window
from rewards.program.document import ProgramDocument
from rewards.program.redemption import value_minor
from rewards.program.versions import load_history

#: Of a shop with more customers than this, a sample gives a quick answer first.
LARGE = 20_000
#: So many customers, or a few more, are in that sample.
QUICK = 2_000
_LEAST_TIMEOUT_MILLISECONDS = 1_000


def replay(
    conn: Connection,
    draft: ProgramDocument,
    *,
    as_of: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    customers_sample: int | None = None,
    is_quick_enough: bool = False,
    seconds: float | None = None,
    on_sample: Callable[[PreviewReport], None] | None = None,
    is_stopped: Callable[[], bool] | None = None,
    pause: Callable[[], None] | None = None,
    progress: Progress = unheard,
) -> PreviewReport:
    """Return what ``draft`` would have made of the shop's own history.

    Args:
        conn: a connection with no transaction open; it is given a read-only snapshot.
        draft: the program.
        as_of: the present; what is due by then is counted on both sides.
        since: from when on the draft is in force. What happened before is decided by what was in force then, and
            counts to balances only. None: the draft always was in force.
        until: what occurred at it or later is left out. None: nothing is.
        customers_sample: so many customers stand for all. None: all are replayed.
        is_quick_enough: of a large shop, the quick answer of a sample will do.
        seconds: after so many, the customers that were replayed by then stand for all.
        on_sample: told the quick answer of a large shop, while the whole goes on.
        is_stopped: asked now and then; once it says yes, it is as if the seconds were over.
        pause: called after each customer, for a process that has other work too.
        progress: told the customers done and the customers there are.
    """
    run = _Run(conn, draft, as_of, Window(since, until, draft.zone), seconds)
    if customers_sample is None and is_quick_enough and run.total > LARGE:
        customers_sample = QUICK
    most = run.total if customers_sample is None else min(customers_sample, run.total)
    is_quick_due = most > LARGE
    progress("Replaying", 0, most)
    with customers_at_random(conn, as_of) as customers:
        for portion in portions(customers, most):
            if not run.replay(portion, pause):
                run.note_stop(most)
                break
            done = run.tally.customers
            progress("Replaying", done, most)
            if is_quick_due and done >= QUICK and on_sample is not None:
                is_quick_due = False
                on_sample(run.report())
            if done < most and (run.is_late() or (is_stopped is not None and is_stopped())):
                run.note_stop(most)
                break
    return run.report()


class _Run:
    """A replay on its way."""

    def __init__(
        self, conn: Connection, draft: ProgramDocument, as_of: datetime, window: Window, seconds: float | None
    ) -> None:
        take_snapshot(conn)
        if seconds is not None:
            timeout = {"milliseconds": str(max(int(seconds * 1000), _LEAST_TIMEOUT_MILLISECONDS))}
            conn.execute(text("SELECT set_config('statement_timeout', :milliseconds, true)"), timeout)
        self._conn = conn
        self._draft = draft
        self._as_of = as_of
        self._window = window
        self._started_at = time.monotonic()
        self._seconds = seconds
        self._published = load_history(conn)
        self._programs = Programs(self._published, draft, window.since)
        self._shared = Shared()
        self._notes: list[str] = []
        self.tally = Tally(window)
        self.total = count_customers(conn)

    def is_late(self) -> bool:
        """Tell whether the time is over."""
        return self._seconds is not None and time.monotonic() - self._started_at >= self._seconds

    def note_stop(self, most: int) -> None:
        """Remember that the replay ended before all customers were in."""
        self._notes.append(
            f"The replay was stopped after {self.tally.customers} of {most} customers; they stand for all. "
            "`rewards program preview --sample all` replays every one."
        )

    def replay(self, customers: Sequence[Row[Any]], pause: Callable[[], None] | None) -> bool:
        """Replay some customers; tell whether the database could still read them in time."""
        try:
            histories = read_histories(self._conn, customers)
            due = self._due([each.customer_id for each in histories if each.is_stale])
        except OperationalError as error:
            if self.tally.customers and isinstance(error.orig, QueryCanceled):
                return False
            raise
        for history in histories:
            self.tally.begin()
            count_stored(history, due.get(history.customer_id, ()), self.tally)
            CustomerReplay(history, self._programs, self.tally, self._shared).run(self._as_of)
            self.tally.end(history.customer_id)
            if pause is not None:
                pause()
        return True

    def _due(self, customers: Sequence[str]) -> dict[str, list[Entry]]:
        """Return what time has brought about in the ledger that no job has booked yet."""
        if not customers:
            return {}
        needs = Needs(customers=set(customers), with_lots=set(customers))
        due = {}
        for customer_id, state in load(self._conn, needs, self._as_of, lock=False).items():
            settle = Submission(Settle(customer_id=customer_id), None, ACTOR)
            due[customer_id] = decide(state, settle, self._published, self._as_of).entries
        return due

    def report(self) -> PreviewReport:
        """Return what the customers that were replayed so far tell."""
        tally, of, draft = self.tally, self.total, self._draft
        in_force = self._published.in_force(self._as_of).document
        totals, sample = tally.totals(of), tally.sampled(of)
        notes = list(self._notes)
        if sample is not None and any(rule.budget is not None for rule in draft.earn):
            notes.append(
                "The sample had the budgets of rules to itself; all customers would spend them sooner."
            )
        liability = tally.liability(of)
        up, down = tally.movers()

        def worth(points: Change) -> Change:
            return Change(
                value_minor(in_force.redemption, points.before), value_minor(draft.redemption, points.after)
            )

        return PreviewReport(
            as_of=self._as_of,
            since=self._window.since,
            until=self._window.until,
            currency=draft.currency,
            currency_before=in_force.currency,
            customers=tally.customers,
            activities=tally.activities,
            seconds=time.monotonic() - self._started_at,
            sample=sample,
            issued=tally.issued(of),
            months=tally.months(of),
            totals=totals,
            cost_minor=worth(totals.issued),
            liability_points=liability,
            liability_minor=worth(liability),
            changed=tally.scale(tally.changed, of),
            up=up,
            down=down,
            refused=tally.refused(of),
            redemptions_cut=tally.scale(tally.redemptions_cut, of),
            points_cut=tally.scale(tally.points_cut, of),
            notes=notes,
        )
