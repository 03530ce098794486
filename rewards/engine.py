"""The engine: load, decide, write. The one path by which points change.

A batch of commands is one transaction: the state of every customer that it touches is loaded with their accounts
locked, each command is decided in order by :func:`rewards.decide.decide`, and all decisions are stored, in a
number of statements that does not depend on the batch's size. A refused command is refused alone.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from pydantic_core import to_json
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rewards.core.database import Database
from rewards.core.errors import (
    BusyError,
    IdempotencyKeyReused,
    Refusal,
    SetupError,
)
from rewards.decide import Submission, decide
from rewards.decide.award import why_not
from rewards.decide.commands import Adjust, Award, Redeem, Reverse, Settle
from rewards.decide.needs import creates_customer, customer_of, needs_of, unknown_customer
from rewards.decide.standing import climb_at
from rewards.follow_ups import follow_up
from rewards.ledger.load import load
from rewards.ledger.referral_state import Referral
from rewards.ledger.referrals import due_referrals
from rewards.ledger.standing_state import Standing
from rewards.ledger.standings import read_standings
from rewards.ledger.state import CustomerState, Decision, Remembered
from rewards.ledger.write import Batch, Claim, write
from rewards.program.history import ProgramHistory
from rewards.program.redemption import max_points_for_order, redeemable, value_minor, valued
from rewards.program.versions import HistoryCache
from rewards.welcomes import welcome

_log = logging.getLogger(__name__)

_CREATED = (Award, Redeem, Reverse, Adjust)
_DEADLOCK, _SERIALIZATION_FAILURE = "40P01", "40001"
#: After so many commands that the database could not take, the rest of their batch is not tried one by one.
_MOST_FAILURES = 3
_WAITS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)


@dataclass(slots=True)
class Answer:
    """What a command's sender is told.

    Attributes:
        status: HTTP status: 201 or 200, 4xx for a refusal, 500 where the command could not be executed.
        body: JSON text: the outcome, or a problem document.
        replayed: True where the idempotency key had this answer before.
    """

    status: int
    body: str
    replayed: bool = False


@dataclass(slots=True)
class Due:
    """Customers for whom a batch has left something to be sent."""

    referrals: set[str] = field(default_factory=set)
    welcomes: set[str] = field(default_factory=set)


class Engine:
    """Executes commands on a database. Safe to share between threads.

    Args:
        database: where the ledger is.
        patience_seconds: for how long an unreachable or contended database is tried again.
    """

    def __init__(self, database: Database, *, patience_seconds: float = 20.0) -> None:
        self._database = database
        self._patience_seconds = patience_seconds
        self._programs = HistoryCache()

    def execute(self, submissions: Sequence[Submission], now: datetime) -> list[Answer]:
        """Execute commands in order, as one transaction, and return an answer to each.

        Follow-ups of referrals are sent right after, in transactions of their own; see :mod:`rewards.follow_ups`.
        Where the database refuses the whole (which no refusal by a decision does), its halves are executed
        apart until the one command that it cannot take is alone; that one is answered 500.

        Raises:
            BusyError: the database stayed unreachable or contended; nothing that was answered is lost, and the
                same commands can be sent again under the same keys.
        """
        if not submissions:
            return []
        due = Due()
        answers = self._apart(submissions, now, [], due)
        if due.referrals or due.welcomes:
            self._follow_up_at_once(due, now)
        return answers

    def welcome(self, customers: Iterable[str], now: datetime) -> int:
        """Send what these customers' standings have still to bring about; return how many commands that were.

        Raises:
            BusyError: the database stayed unreachable or contended; what was not sent is still due.
        """
        return welcome(self._standings(customers), lambda each: self._apart(each, now, [], Due()))

    def _standings(self, customers: Iterable[str]) -> list[tuple[str, Standing]]:
        with self._database.engine.connect() as conn:
            return read_standings(conn, customers)

    def follow_up(self, customers: Iterable[str], now: datetime) -> int:
        """Send what the referrals of these customers have still to bring about; return for how many.

        Raises:
            BusyError: the database stayed unreachable or contended; what was not sent is still due.
        """
        return follow_up(
            lambda: self._due_referrals(customers), lambda each: self._apart(each, now, [], Due())
        )

    def _follow_up_at_once(self, due: "Due", now: datetime) -> None:
        """Try to send it right after the commands that brought it about; what fails is left for the jobs."""
        try:
            # Once, without patience: those commands' senders are waiting for their answers.
            more = Due(welcomes=set(due.welcomes))
            if due.referrals:
                follow_up(lambda: self._due_referrals(due.referrals), lambda each: self._run(each, now, more))
            if more.welcomes:
                welcome(self._standings(more.welcomes), lambda each: self._run(each, now, Due()))
        except Exception:  # noqa: BLE001 - the commands are done, whatever befalls this
            count = len(due.referrals | due.welcomes)
            _log.warning("follow-ups of %d customers are left for the jobs", count, exc_info=True)

    def _due_referrals(self, customers: Iterable[str]) -> list[tuple[Referral, bool]]:
        with self._database.engine.connect() as conn:
            return due_referrals(conn, customers)

    def _apart(
        self, submissions: Sequence[Submission], now: datetime, failed: list[Submission], due: "Due"
    ) -> list[Answer]:
        """Execute a batch; where the database refuses it, its halves.

        ``failed`` gathers what it could not take, ``due`` the customers for whom something is to be sent.
        """
        try:
            return self._patiently(submissions, now, due)
        except BusyError:
            raise
        except Exception:  # noqa: BLE001 - whatever one command does, its neighbours go on
            if len(submissions) == 1 or len(failed) >= _MOST_FAILURES:
                # So many failures are no single bad command; trying each of a thousand would only add to the trouble.
                _log.exception("%d of the commands could not be executed", len(submissions))
                failed.extend(submissions)
                return [_INTERNAL_ERROR] * len(submissions)
            half = len(submissions) // 2
            return [
                *self._apart(submissions[:half], now, failed, due),
                *self._apart(submissions[half:], now, failed, due),
            ]

    def quote(self, command: Award, now: datetime, *, explain: bool = False) -> dict[str, Any]:
        """Return what an award would be and what could then be redeemed on its order; writes nothing.

        Args:
            command: the award.
            now: the present.
            explain: tell also which rules would not apply, and why.

        Raises:
            Refusal: the award would be refused.
        """
        submission = Submission(command, None, "quote")
        with self._database.engine.connect() as conn:
            programs = self._programs.current(conn)
            needs = needs_of([(command.customer_id, submission)], programs, now)
            state = load(conn, needs, now, lock=False)[command.customer_id]
        decision = decide(state, submission, programs, now)
        if decision.refusal is not None:
            raise decision.refusal
        assert decision.outcome is not None
        # A quote can be asked for again and again; one that told known codes from unknown ones would help to guess.
        award = {
            name: value for name, value in decision.outcome.items() if name not in ("award_id", "referral")
        }
        quoted: dict[str, Any] = {
            "award": award,
            "redemption": _redeemable_now(command, state, programs, now),
        }
        if explain:
            quoted["not_applied"] = [asdict(each) for each in why_not(state, command, programs, now)]
        return quoted

    def _patiently(self, submissions: Sequence[Submission], now: datetime, due: "Due") -> list[Answer]:
        """Run a batch, again after what passes: deadlocks, a customer created meanwhile, a lost connection."""
        give_up_at = time.monotonic() + self._patience_seconds
        for wait in _waits():
            try:
                return self._run(submissions, now, due)
            except (DBAPIError, psycopg.Error, PoolTimeoutError) as error:
                if not _passes(error):
                    raise
                if time.monotonic() + wait > give_up_at:
                    raise BusyError("The database did not answer in time; try again.") from error
                time.sleep(wait)
                self._revive_if_lost(error)
        raise AssertionError("waiting never ends by itself")

    def _revive_if_lost(self, error: Exception) -> None:
        if _is_lost(error):
            try:
                self._database.revive()
            except SetupError:
                _log.warning("the database could not be started again yet", exc_info=True)

    def _run(self, submissions: Sequence[Submission], now: datetime, due: "Due") -> list[Answer]:
        answers: list[Answer | None] = [None] * len(submissions)
        owned: list[tuple[int, str, Submission]] = []
        for index, submission in enumerate(submissions):
            try:
                owned.append((index, customer_of(submission), submission))
            except Refusal as refusal:
                answers[index] = _refused(refusal)
        if owned:
            with self._database.engine.begin() as conn:
                batch = self._execute(conn, owned, answers, now)
            due.referrals.update(
                owner for owner, referral in batch.referrals.items() if referral.due is not None
            )
            if batch.has_standings:
                due.welcomes.update(
                    owner for owner, account in batch.accounts.items() if _is_welcome_due(account.standing)
                )
        return [answer for answer in answers if answer is not None]

    def _execute(
        self,
        conn: Connection,
        owned: list[tuple[int, str, Submission]],
        answers: list[Answer | None],
        now: datetime,
    ) -> Batch:
        programs = self._programs.current(conn)
        needs = needs_of(((owner, each) for _, owner, each in owned), programs, now)
        states = load(conn, needs, now, lock=True)
        batch = Batch()
        for index, customer_id, submission in owned:
            state = states[customer_id]
            answers[index], after = _decide_one(state, customer_id, submission, programs, now, batch)
            if after is not None:
                states[customer_id] = after
        write(conn, batch, now)
        return batch


def _decide_one(
    state: CustomerState,
    customer_id: str,
    submission: Submission,
    programs: ProgramHistory,
    now: datetime,
    batch: Batch,
) -> tuple[Answer, CustomerState | None]:
    """Decide one command onto the batch; return its answer, and the state after it where that changed."""
    key = submission.idempotency_key
    input_hash = b"" if key is None else submission.input_hash()
    if key is not None:
        remembered = state.remembered.get(key)
        if remembered is not None:
            return _replayed(remembered, input_hash, key), None
    if not state.exists and not creates_customer(submission):
        return _refused(unknown_customer(submission, customer_id)), None
    decision = decide(state, submission, programs, now)
    if decision.refusal is not None:
        answer = _refused(decision.refusal)
        if key is not None and submission.remember_refusal and state.exists:
            _claim(batch, state, customer_id, submission, key, input_hash, answer)
        return answer, None
    answer = _accepted(submission, decision)
    if decision.budgets:
        decision.spend(state.budgets)
    if state.referring is not None:
        attributed = decision.referral if state.referral is None else None
        state.referring.learn(customer_id, attributed, decision.fingerprints)
    batch.add(customer_id, decision, is_new=not state.exists, actor=submission.actor)
    if key is not None:
        _claim(batch, state, customer_id, submission, key, input_hash, answer)
    return answer, decision.after


def _claim(
    batch: Batch,
    state: CustomerState,
    customer_id: str,
    submission: Submission,
    key: str,
    input_hash: bytes,
    answer: Answer,
) -> None:
    # The same dictionary goes on into the state after, so that a repeat within this batch finds it too.
    state.remembered[key] = Remembered(input_hash, answer.status, answer.body)
    batch.claims.append(Claim(customer_id, key, submission.kind, input_hash, answer.status, answer.body))


def _replayed(remembered: Remembered, input_hash: bytes, key: str) -> Answer:
    if remembered.input_hash != input_hash:
        return _refused(
            IdempotencyKeyReused(
                f"The idempotency key {key!r} was used for another request of this customer; "
                "send a new key with a new request."
            )
        )
    return Answer(remembered.status, remembered.answer, replayed=True)


def _accepted(submission: Submission, decision: Decision) -> Answer:
    status = 201 if isinstance(submission.command, _CREATED) else 200
    return Answer(status, to_json(decision.outcome).decode())


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, to_json(refusal.problem()).decode())


def _redeemable_now(
    command: Award, state: CustomerState, programs: ProgramHistory, now: datetime
) -> dict[str, Any]:
    """Return the points that can be redeemed now, before the award, on the award's order."""
    document = programs.in_force(now).document
    climb = climb_at(state, programs, now)
    policy = valued(document.redemption, None if climb is None else climb.tier)
    settled = decide(state, Submission(Settle(customer_id=command.customer_id), None, "quote"), programs, now)
    assert settled.after is not None
    available = settled.after.account.available
    most = available
    total_minor = getattr(command.activity, "total_minor", None)
    if total_minor is not None:
        limit = max_points_for_order(policy, total_minor)
        most = available if limit is None else min(available, limit)
    points = redeemable(policy, most)
    return {
        "available": available,
        "minimum_points": policy.minimum_points,
        "step_points": policy.step_points,
        "max_points": points,
        "max_value_minor": value_minor(policy, points),
        "currency": document.currency,
    }


def _is_welcome_due(standing: Standing | None) -> bool:
    return standing is not None and bool(standing.to_welcome or standing.to_retract)


def _waits() -> Iterator[float]:
    yield from _WAITS
    while True:
        yield _WAITS[-1]


def _passes(error: Exception) -> bool:
    """Tell whether an error is one that passes by itself, so that the same batch may succeed next time."""
    if isinstance(error, PoolTimeoutError):
        return True
    cause = _driver_error(error)
    if isinstance(cause, psycopg.errors.UniqueViolation):
        # Two batches created the same customer; the second finds it there when it loads again.
        return cause.diag.constraint_name == "pk_accounts"
    return _is_lost(error) or getattr(cause, "sqlstate", None) in (_DEADLOCK, _SERIALIZATION_FAILURE)


def _is_lost(error: Exception) -> bool:
    """Tell whether the connection is gone, or the server is going down or coming up."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = _driver_error(error)
    state = getattr(cause, "sqlstate", None)
    if isinstance(cause, psycopg.OperationalError) and state is None:
        return True
    return state is not None and state.startswith(("57P", "08"))


def _driver_error(error: Exception) -> object:
    # COPY goes to the driver directly, so its errors come unwrapped.
    return error.orig if isinstance(error, DBAPIError) else error


_INTERNAL_ERROR = Answer(
    500,
    to_json(
        {
            "type": "urn:rewards:problem:internal-error",
            "title": "The command could not be executed",
            "status": 500,
            "code": "internal-error",
            "detail": "Nothing changed. Try again under the same idempotency key; if it persists, tell the operator.",
        }
    ).decode(),
)
