"""Any customer's life, lived on the real engine: sent late, in batches, with the job now and then, it ends as the words say."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from ladder_lives import LAST, lives, looks, program
from ladder_oracle import Granted, Life, midnight, walked
from stored_ledger import OnDatabase, Server
from test_rules_machine import hunt

from rewards.decide import Submission
from rewards.decide.commands import Award, Command, Enroll, GrantStanding, Reverse
from rewards.jobs import run_job
from rewards.ledger.standings import read_moves, read_outlook, read_standings
from rewards.ledger.verification import verify
from rewards.program.versions import load_history

WHO = "ann"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARN = [
    {"id": "base", "activity": "purchase", "gives": {"type": "per_amount", "points": 1, "per_minor": 100}}
]


@dataclass
class _Sent:
    """A life on its way to the engine: what is sent when; what the engine refuses is no part of it."""

    life: Life
    store: OnDatabase
    #: By the time at which it is sent.
    commands: dict[datetime, list[tuple[Command, Any]]] = field(default_factory=dict)
    granted: list[Granted] = field(default_factory=list)
    keys: int = 0

    def plan(self, at: datetime, command: Command, what: Any = None) -> None:
        self.commands.setdefault(at, []).append((command, what))

    def send(self, now: datetime) -> None:
        sent = self.commands.pop(now)
        submissions = []
        for command, _ in sent:
            self.keys += 1
            key = None if isinstance(command, Enroll | GrantStanding) else f"key-{self.keys}"
            submissions.append(Submission(command, key, "test"))
        for (command, what), answer in zip(sent, self.store.engine.execute(submissions, now), strict=True):
            if isinstance(command, GrantStanding) and answer.status in (404, 422):
                continue  # Nobody is called that yet, or there is no such tier.
            assert answer.status < 300, answer.body
            if isinstance(what, Granted):
                self._note(what, now)

    def _note(self, grant: Granted, now: datetime) -> None:
        """What is granted takes the place of what was granted before."""
        self.granted = [
            each if each.ends_at is not None and each.ends_at <= now else replace(each, ends_at=now)
            for each in self.granted
        ]
        self.granted.append(grant)


def _plan(sent: _Sent, data: st.DataObject) -> None:
    """Decide when each thing is sent: mostly when it happens, or up to some weeks later; refunds after their orders."""
    life, sent_at, ids = sent.life, {}, {}
    late = st.sampled_from([0, 0, 0, 0, 3, 20])
    for number, each in enumerate(life.happened):
        at = each.at + timedelta(days=data.draw(late))
        if each.is_refund:
            order = max(
                order
                for order, other in ids.items()
                if other.counted_on == each.counted_on and order < number
            )
            at = max(at, sent_at[order] + timedelta(seconds=1))
            back: dict[str, Any] = {"amount_minor": -each.amounts["spend_minor"]}
            refund = {
                "customer_id": WHO,
                "order_id": f"o{order}",
                "refund_id": f"r{number}",
                "occurred_at": each.at,
            }
            sent.plan(at, Reverse.model_validate({**refund, **back}))
            sent_at[order] = at
            continue
        activity: dict[str, Any] = {"type": "referral", "referred_customer_id": f"friend-{number}"}
        if "spend_minor" in each.amounts:
            ids[number], sent_at[number] = each, at
            order_of = {
                "order_id": f"o{number}",
                "total_minor": each.amounts["spend_minor"],
                "currency": "GBP",
            }
            activity = {"type": "purchase", **order_of}
        award = {"customer_id": WHO, "occurred_at": each.at, "activity": activity}
        sent.plan(at, Award.model_validate(award))
    for grant in life.granted:
        sent.plan(
            grant.at,
            GrantStanding(customer_id=WHO, tier=grant.tier, until=grant.ends_at, reason="test"),
            grant,
        )
    if life.member_since is not None:
        at = max(life.member_since, data.draw(st.sampled_from(looks(life, every=30))))
        sent.plan(at, Enroll(customer_id=WHO, member_since=life.member_since))


def _live(life: Life, store: OnDatabase, data: st.DataObject) -> _Sent:
    sent = _Sent(life, store)
    _plan(sent, data)
    publications = {}
    for number, each in enumerate(life.published):
        document = program(each.ladder, life.zone.key).model_dump(mode="json") | {"earn": EARN}
        publications.setdefault(each.at if number else EPOCH, []).append(document)
    jobs = data.draw(st.lists(st.sampled_from(looks(life, every=15)), max_size=4))
    for now in sorted({*sent.commands, *publications, *jobs}):
        for document in publications.get(now, []):
            store.publish(document, now, now)
        if now in sent.commands:
            sent.send(now)
        if now in jobs:
            run_job("tiers", store.database, now)
    return sent


def test_a_life_on_the_engine_ends_as_the_words_say(server: Server, template: str) -> None:
    @hunt(15, lives(), st.data())
    def check(life: Life, data: st.DataObject) -> None:
        store = OnDatabase(server, template)
        try:
            sent = _live(life, store, data)
            end = midnight(LAST, life.zone)
            (expected,) = walked(replace(life, granted=sent.granted), [end])
            with store.database.engine.connect() as conn:
                assert verify(conn).breaks == []
                found = read_outlook(conn, load_history(conn), WHO, end)
            run_job("tiers", store.database, end)
            with store.database.engine.connect() as conn:
                assert verify(conn).breaks == []
                standings, moves = dict(read_standings(conn, [WHO])), read_moves(conn, WHO, 1000)[::-1]
            kept = standings.get(WHO)
            for standing in (kept, None if found is None else found.standing):
                if standing is None:
                    assert expected.tier is None
                    continue
                assert (standing.tier, standing.earned, standing.until) == (
                    expected.tier,
                    expected.earned,
                    expected.until,
                )
                assert standing.tier is None or standing.since == expected.since
                assert (standing.grace_until is not None) == expected.is_in_grace
            tiers = [None, *(move["to_tier"] for move in moves)]
            assert [move["from_tier"] for move in moves] == tiers[:-1]
            assert tiers[-1] == (None if kept is None else kept.tier)
        finally:
            store.close()

    check()
