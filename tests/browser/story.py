"""A shop and its customers, told to the engine as they happened: what the pages in the tests show."""

import json
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from rewards.core.database import Database
from rewards.decide import Submission
from rewards.decide.commands import Adjust, Award, Command, Redeem, Reverse
from rewards.engine import Engine
from rewards.program.document import ProgramDocument
from rewards.program.versions import publish

DAY = timedelta(days=1)

REGULAR = "marianne-48213"
OWING = "owing-1"
NEW = "new-1"
#: An id, an order and a reason as somebody with bad intentions would send them.
HOSTILE = '"><script>alert(1)</script>'

PROGRAM: dict[str, Any] = {
    "schema_version": 1,
    "no_holdout": "Nothing is measured in a test",
    "name": "Wren & Thistle Rewards",
    "currency": "GBP",
    "timezone": "Europe/London",
    "base_amount": {"shipping": False},
    "earn": [
        {
            "id": "base",
            "activity": "purchase",
            "gives": {"type": "per_amount", "points": 5, "per_minor": 100},
        },
        {"id": "welcome", "activity": "signup", "gives": {"type": "fixed", "points": 200}},
        {"id": "survey", "activity": "survey", "gives": {"type": "fixed", "points": 100}},
        {"id": "review", "activity": "review", "gives": {"type": "fixed", "points": 50}},
    ],
    "points": {"pending": "P14D", "expiry": {"type": "after", "period": "P12M", "round_up_to": "month"}},
    "redemption": {"points": 1, "value_minor": 1, "minimum_points": 500, "step_points": 100},
    "ladder": {
        "window": {"type": "rolling", "period": "P12M"},
        "lasts": {"type": "after", "period": "P12M", "round_up_to": "month"},
        "downgrade": {"to": "one_lower", "grace": "P1M", "round_up_to": "month"},
        "tiers": [
            {"id": "wren", "name": "Wren"},
            {
                "id": "thistle",
                "name": "Thistle",
                "ways_in": [{"spend_minor": 30_000}],
                "perks": [{"id": "delivery", "name": "Free delivery", "description": "On every order."}],
            },
            {
                "id": "heather",
                "name": "Heather",
                "ways_in": [{"spend_minor": 120_000}],
                "earn_multiplier_pct": 150,
                "redemption_value_pct": 110,
                "perks": [
                    {"id": "delivery", "name": "Free delivery", "description": "On every order."},
                    {
                        "id": "first-look",
                        "name": "First look",
                        "description": "New teas a week before everyone else.",
                    },
                ],
            },
        ],
    },
}


class Story:
    """Tells the engine what customers do, in the order in which they did it."""

    def __init__(self, database: Database, now: datetime, **program: Any) -> None:
        self._engine = Engine(database)
        self._keys = count(1)
        self.now = now
        with database.engine.begin() as conn:
            document = ProgramDocument.model_validate({**PROGRAM, **program})
            publish(conn, document, effective_from=now - 3650 * DAY, now=now, actor="test")

    def send(self, days_ago: float, command: Command) -> dict[str, Any]:
        submission = Submission(command, f"k{next(self._keys)}", "webshop")
        answer = self._engine.execute([submission], self.now - days_ago * DAY)[0]
        assert answer.status < 300, answer.body
        return json.loads(answer.body)

    def did(self, customer: str, days_ago: float, **activity: Any) -> None:
        self.send(days_ago, Award.model_validate({"customer_id": customer, "activity": activity}))

    def bought(self, customer: str, days_ago: float, order_id: str, total_minor: int) -> None:
        self.did(
            customer, days_ago, type="purchase", order_id=order_id, total_minor=total_minor, currency="GBP"
        )

    def spent(self, customer: str, days_ago: float, points: int, order_id: str, **more: Any) -> None:
        self.send(days_ago, Redeem(customer_id=customer, points=points, order_id=order_id, **more))

    def regular(self, customer: str = REGULAR) -> None:
        """Tell of somebody who has been around: everything that there is happens to them.

        Points live to the end of a month, so the days are such that on whatever date the story is told, the
        first two credits expire unspent, and no other does.
        """
        self.did(customer, 812.2, type="signup")
        self.bought(customer, 812.1, "W-11820", 1260)
        self.bought(customer, 431.1, "W-20117", 3480)
        self.bought(customer, 402.4, "W-20655", 5825)
        self.did(customer, 398.7, type="review", subject="Rose hip tea")
        self.bought(customer, 360.3, "W-21902", 8640)
        self.bought(customer, 334.5, "W-22480", 4215)
        self.did(customer, 330.2, type="survey", survey_id="first-year")
        self.bought(customer, 291.6, "W-23355", 12790)
        self.spent(customer, 262.4, 500, "W-24031")
        self.bought(customer, 262.3, "W-24031", 6460)
        self.bought(customer, 221.7, "W-24968", 3995)
        self.bought(customer, 180.1, "W-25873", 15420)
        self.did(customer, 171.3, type="review", subject="Walnut tray")
        self.bought(customer, 143.8, "W-26644", 7275)
        self.send(
            131.5,
            Reverse(customer_id=customer, order_id="W-26644", refund_id="R-310", amount_minor=2450),
        )
        self.bought(customer, 96.2, "W-27701", 9980)
        self.spent(customer, 61.4, 1000, "W-28450")
        self.bought(customer, 61.3, "W-28450", 11240)
        self.send(44.2, Adjust(customer_id=customer, points=150, reason="Sorry that your parcel was late"))
        self.did(customer, 30.6, type="survey", survey_id="autumn")
        self.bought(customer, 20.7, "W-29386", 5660)
        self.bought(customer, 9.4, "W-29720", 8315)
        self.bought(customer, 2.3, "W-29951", 4790)
        self.spent(customer, 0.01, 300 + 200, "W-30002", hold=True, hold_expires_in="P1D")

    def owing(self, customer: str = OWING) -> None:
        """Tell of somebody whose order was refunded after its points were spent."""
        self.bought(customer, 40, "O-1", 13400)
        self.spent(customer, 20, 600, "O-2")
        self.send(2, Reverse(customer_id=customer, order_id="O-1", refund_id="R-1", full=True))

    def new(self, customer: str = NEW) -> None:
        """Tell of somebody who has just ordered for the first time."""
        self.bought(customer, 0.1, "N-1", 2000)

    def hostile(self, customer: str = HOSTILE) -> None:
        """Tell of somebody whose every text is an attempt to break the page."""
        self.bought(customer, 30, HOSTILE, 10000)
        self.send(1, Adjust(customer_id=customer, points=5, reason=HOSTILE))
