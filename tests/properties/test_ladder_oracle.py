"""Standings, however they are worked out, are those that the ladder's words say, on every day.

REWARDS_TEST_HUNT_SECONDS=600 looks for new failures for that long, with new random choices.
"""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import assume
from hypothesis import strategies as st
from ladder_lives import history_of, ladders, lives, looks, program, timeline_of
from ladder_oracle import MEASURES, Life, Stands, walked
from test_rules_machine import hunt

from rewards.ledger.standing_state import Move, Qualifying, Standing, read_standing
from tiers.folding import Fold
from tiers.history import History
from tiers.resuming import resumed
from tiers.standing import advanced, can_advance, moves_since, standing_at


def _stands(standing: Standing) -> Stands:
    return Stands(
        standing.tier,
        standing.since if standing.tier is not None else None,
        standing.until,
        standing.earned,
        standing.grace_until is not None,
    )


def _oracle(life: Life, instants: list[datetime]) -> list[Stands]:
    return [each if each.tier is not None else replace(each, since=None) for each in walked(life, instants)]


@hunt(40, lives())
def test_the_fold_stands_where_the_words_say(life: Life) -> None:
    fold = Fold(timeline_of(life), history_of(life))
    instants = looks(life)
    for at, expected in zip(instants, _oracle(life, instants), strict=True):
        assert _stands(fold.run(at).standing()) == expected, at


@hunt(40, lives(), st.data())
def test_going_on_is_folding_at_once_and_the_order_of_arrival_is_nothing(
    life: Life, data: st.DataObject
) -> None:
    timeline, history = timeline_of(life), history_of(life)
    instants = data.draw(st.lists(st.sampled_from(looks(life)), min_size=1, max_size=6).map(sorted))
    arrived = data.draw(st.permutations(life.happened))
    other = history_of(replace(life, happened=arrived, granted=life.granted[::-1]))
    fold, before = Fold(timeline, history), None
    for at in instants:
        at_once = standing_at(timeline, history, at)
        assert fold.run(at).standing() == at_once
        again = resumed(timeline, history, before).run(at)
        assert again.standing() == at_once
        assert moves_since(before, again) == moves_since(before, fold)
        before = at_once
        assert standing_at(timeline, other, at) == at_once
        assert read_standing(at_once.stored()) == at_once


class _OnRecord:
    """A customer's standing as a ledger keeps it: told of what happens as it does, and of what is due."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.timeline = timeline_of(life)
        self.all = history_of(life)
        self.known: list[Qualifying] = []
        self.standing: Standing | None = None
        self.moves: list[Move] = []
        self.advances = 0

    def fold(self, at: datetime) -> Fold:
        grants = [grant for grant in self.all.grants if grant.granted_at <= at]
        return Fold(self.timeline, History(self.known, grants, self.all.member_since)).run(at)

    def settle(self, at: datetime) -> None:
        fold = self.fold(at)
        self._move(moves_since(self.standing, fold))
        self.standing = fold.standing()

    def pass_time(self, to: datetime) -> None:
        """Settle whenever something is due, another ladder takes effect, or an admin grants something."""
        while (due := min(self._due(), default=to)) < to:
            self.settle(due)
        if due == to:
            self.settle(to)

    def _due(self) -> list[datetime]:
        done = None if self.standing is None else self.standing.at
        due = [stretch.since for stretch in self.timeline.stretches]
        due += [grant.granted_at for grant in self.all.grants] + [self.all.member_since]
        if self.standing is not None and self.standing.due_at is not None:
            assert self.standing.due_at > self.standing.at, "what was due is due again"
            due.append(self.standing.due_at)
        return [each for each in due if each is not None and (done is None or each > done)]

    def happen(self, event: Qualifying) -> None:
        """An activity is folded in, or, where that may be, added to the standing on record."""
        self.known.append(event)
        before = self.standing
        if event.is_return or before is None or not can_advance(self.timeline, before, event.at):
            self.settle(event.at)
            return
        self.advances += 1
        stood, fold = advanced(self.timeline, before, event), self.fold(event.at)
        folded = fold.standing()
        for name in (
            "version",
            "at",
            "tier",
            "since",
            "until",
            "earned",
            "earned_until",
            "grace_until",
            "gauges",
        ):
            assert getattr(stood.standing, name) == getattr(folded, name), name
        assert not stood.standing.is_granted
        # What is looked at sooner than needed costs time; later would be wrong.
        never = datetime(9999, 1, 1, tzinfo=UTC)
        assert (stood.standing.stale_at or never) <= (folded.stale_at or never)
        assert (stood.standing.due_at or never) <= (folded.due_at or never)
        if before.at < event.at:
            assert stood.moves == moves_since(before, fold)
        self._move(stood.moves)
        self.standing = stood.standing

    def _move(self, moves: list[Move]) -> None:
        for move in moves:
            assert move.from_tier == (self.moves[-1].to_tier if self.moves else None)
            assert move.from_tier != move.to_tier
            self.moves.append(move)


@hunt(20, lives())
def test_what_is_on_record_is_what_the_words_say(life: Life) -> None:
    """Between one time at which something is due and the next nothing changes, and moves lead from tier to tier."""
    shop = _OnRecord(life)
    # Where a condition asks what day it is something is due every day, which takes its time.
    assume(
        not any(
            stretch.ladder is not None and stretch.ladder.asks_time for stretch in shop.timeline.stretches
        )
    )
    by_day = sorted(shop.all.events, key=lambda event: (event.at, event.seq))
    for at in looks(life, every=10):
        while by_day and by_day[0].at <= at:
            shop.pass_time(by_day[0].at)
            shop.happen(by_day.pop(0))
        shop.pass_time(at)
        if shop.standing is None:
            continue
        assert (shop.moves[-1].to_tier if shop.moves else None) == shop.standing.tier
        assert _stands(shop.fold(at).standing()) == _stands(shop.standing), at
    assert shop.standing is not None
    assert shop.standing.due_at is None or shop.standing.due_at > at
    assert _stands(shop.standing) == _oracle(life, [at])[0]


def test_the_lives_are_lively() -> None:
    """Of what is drawn, enough climbs and falls, waits in a grace and is told of without the whole history."""
    seen = Counter[str]()

    @hunt(150, lives())
    def count(life: Life) -> None:
        fold = Fold(timeline_of(life), history_of(life))
        for at in looks(life, every=15):
            seen["in grace"] += fold.run(at).standing().grace_until is not None
        seen.update(move.reason for move in fold.moves)

    @hunt(20, lives())
    def count_advances(life: Life) -> None:
        shop = _OnRecord(life)
        for event in sorted(shop.all.events, key=lambda event: (event.at, event.seq)):
            shop.settle(event.at)
            shop.happen(event)
        seen["advances"] += shop.advances

    count()
    count_advances()
    expected = {"joined", "earned", "ended", "period-end", "program", "granted", "grant-ended"}
    assert set(seen) == expected | {"in grace", "advances"}
    assert min(seen[each] for each in ("earned", "ended", "program", "in grace", "advances")) >= 10, seen


@hunt(50, ladders())
def test_every_ladder_that_is_drawn_may_be_published(ladder: dict[str, object]) -> None:
    document = program(ladder)
    assert document.ladder is not None
    assert set(MEASURES) == {"points", "spend_minor", "orders", "referrals"}
