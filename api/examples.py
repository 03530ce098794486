"""One example of every request and answer, as the OpenAPI document and the reference page show them."""

from typing import Any

from rewards.core import ids

Example = dict[str, Any]

_CUSTOMER = "c-1"
_AWARD = ids.encode(ids.AWARD, _CUSTOMER, 1)
_REDEMPTION = ids.encode(ids.REDEMPTION, _CUSTOMER, 2)
HOLD_ID = ids.encode(ids.REDEMPTION, _CUSTOMER, 3)
_NOON = "2026-11-01T12:00:00Z"
_NEXT_YEAR = "2027-11-01T12:00:00Z"


def _balance(available: int, held: int = 0) -> Example:
    return {"available": available, "pending": 0, "held": held, "deficit": 0}


PURCHASE: Example = {
    "customer_id": _CUSTOMER,
    "occurred_at": _NOON,
    "activity": {
        "type": "purchase",
        "order_id": "1001",
        "total_minor": 4999,
        "currency": "USD",
        "items": [{"line_id": "1", "sku": "TEA", "category": "drinks", "quantity": 2, "amount_minor": 4999}],
        "channel": "web",
    },
}
SURVEY: Example = {
    "customer_id": _CUSTOMER,
    "activity": {"type": "survey", "survey_id": "nps-2026q4", "answers": {"recommend": 9}},
}
SIGNUP: Example = {"customer_id": _CUSTOMER, "activity": {"type": "signup"}}
_FIGURES: Example = {
    "customer_id": _CUSTOMER,
    "points": 49,
    "status": "available",
    "available_at": _NOON,
    "expires_at": _NEXT_YEAR,
    "program_version": 1,
    "explanation": [{"rule_id": "base", "points": 49, "text": "1 point per 1.00 USD on 49.99 USD"}],
    "balance": _balance(49),
    "tier": None,
}
AWARD_ANSWER: Example = {"award_id": _AWARD, **_FIGURES}
QUOTE_ANSWER: Example = {
    "award": _FIGURES,
    "redemption": {
        "available": 120,
        "minimum_points": 1,
        "step_points": 1,
        "max_points": 120,
        "max_value_minor": 120,
        "currency": "USD",
    },
}

REDEEM: Example = {"customer_id": _CUSTOMER, "points": 40, "order_id": "1002"}
HOLD: Example = {"customer_id": _CUSTOMER, "points": 40, "hold": True, "hold_expires_in": "PT30M"}
REDEMPTION_ANSWER: Example = {
    "redemption_id": _REDEMPTION,
    "customer_id": _CUSTOMER,
    "status": "captured",
    "points": 40,
    "points_reinstated": 0,
    "value_minor": 40,
    "currency": "USD",
    "order_id": "1002",
    "coupon_code": None,
    "expires_at": None,
    "program_version": 1,
    "balance": _balance(9),
}
CAPTURE: Example = {"points": 25}
CAPTURE_ANSWER: Example = {
    **REDEMPTION_ANSWER,
    "redemption_id": HOLD_ID,
    "points": 25,
    "value_minor": 25,
    "order_id": None,
    "balance": _balance(24),
}
VOID_ANSWER: Example = {
    **REDEMPTION_ANSWER,
    "redemption_id": HOLD_ID,
    "status": "voided",
    "order_id": None,
    "balance": _balance(49),
}
REVERSED_ANSWER: Example = {
    **REDEMPTION_ANSWER,
    "status": "reversed",
    "points_reinstated": 40,
    "balance": _balance(49),
}

REVERSAL_BY_LINE: Example = {
    "customer_id": _CUSTOMER,
    "order_id": "1001",
    "refund_id": "r-1",
    "items": [{"line_id": "1", "quantity": 1}],
}
REVERSAL_IN_FULL: Example = {"customer_id": _CUSTOMER, "order_id": "1001", "refund_id": "r-2", "full": True}
REVERSAL_ANSWER: Example = {
    "reversal_id": ids.encode(ids.REVERSAL, _CUSTOMER, 4),
    "customer_id": _CUSTOMER,
    "order_id": "1001",
    "refund_id": "r-2",
    "amount_minor": 4999,
    "points_clawed_back": 49,
    "points_written_off": 0,
    "points_reinstated": 0,
    "explanation": [],
    "balance": _balance(0),
}

ADJUSTMENT: Example = {"customer_id": _CUSTOMER, "points": 100, "reason": "Sorry for the late parcel"}
ADJUSTMENT_ANSWER: Example = {
    "adjustment_id": ids.encode(ids.ADJUSTMENT, _CUSTOMER, 5),
    "customer_id": _CUSTOMER,
    "points": 100,
    "reason": "Sorry for the late parcel",
    "program_version": 1,
    "balance": _balance(100),
}

BATCH: Example = {
    "operations": [
        {"op": "award", "idempotency_key": "order-1001", "body": PURCHASE},
        {"op": "redeem", "idempotency_key": "basket-77", "body": {"customer_id": _CUSTOMER, "points": 5000}},
    ]
}
INSUFFICIENT: Example = {
    "type": "urn:rewards:problem:insufficient-points",
    "title": "The available points do not cover the request",
    "status": 409,
    "code": "insufficient-points",
    "detail": "5000 points were requested and 49 are available.",
    "available": 49,
    "requested": 5000,
}
BATCH_ANSWER: Example = {
    "results": [{"status": 201, "body": AWARD_ANSWER}, {"status": 409, "body": INSUFFICIENT}]
}

CUSTOMER_ANSWER: Example = {
    "customer_id": _CUSTOMER,
    "as_of": _NOON,
    "balance": _balance(9, held=40),
    "expirations": [{"expires_at": _NEXT_YEAR, "points": 9, "pending": False}],
    "pending": [],
    "holds": [{"redemption_id": HOLD_ID, "points": 40, "expires_at": "2026-11-01T12:30:00Z"}],
    "tier": None,
    "standing": None,
    "program": {"status": "enrolled", "experiment_id": "spring-2026", "arm": "program"},
    "enrolled": True,
    "held_out": False,
    "customer_since": "2025-03-14T09:26:53Z",
    "referrals": None,
}
EXPOSURE: Example = {"customer_id": _CUSTOMER, "experiment_id": "spring-2026"}
EXPOSURE_ANSWER: Example = {
    "customer_id": _CUSTOMER,
    "experiment_id": "spring-2026",
    "arm": "program",
    "show": True,
    "exposed_at": _NOON,
}
GRANT: Example = {
    "tier": "gold",
    "until": "2027-01-31T00:00:00Z",
    "reason": "Matched from another shop's program",
}
GRANT_ANSWER: Example = {
    "customer_id": _CUSTOMER,
    "tier": {"id": "gold", "name": "Gold", "next": None},
    "since": _NOON,
    "until": "2027-01-31T00:00:00Z",
    "is_granted": True,
}
END_GRANT: Example = {"reason": "Given by mistake"}
END_GRANT_ANSWER: Example = {
    "customer_id": _CUSTOMER,
    "tier": {
        "id": "bronze",
        "name": "Bronze",
        "next": {"id": "silver", "name": "Silver", "remaining": 451, "unit": "points"},
    },
    "since": _NOON,
    "until": None,
    "is_granted": False,
}
MOVES_ANSWER: Example = {
    "moves": [
        {
            "move_seq": 2,
            "from_tier": "bronze",
            "to_tier": "silver",
            "at": _NOON,
            "reason": "earned",
            "program_version": 1,
            "cause": "purchase:1001",
            "recorded_at": _NOON,
        }
    ],
    "next_cursor": None,
}
EVENTS_ANSWER: Example = {
    "events": [
        {
            "event_id": "evt_Yy0x.2",
            "customer_id": _CUSTOMER,
            "type": "tier.upgraded",
            "occurred_at": _NOON,
            "created_at": _NOON,
            "payload": {
                "customer_id": _CUSTOMER,
                "from": {"id": "bronze", "name": "Bronze"},
                "to": {"id": "silver", "name": "Silver"},
                "at": _NOON,
                "until": None,
                "reason": "earned",
            },
        }
    ],
    "next_cursor": "1",
}
SEGMENTS_ANSWER: Example = {
    "segments": [
        {
            "id": "dormant",
            "name": "Not seen for four months",
            "when": "customer.days_since_last_purchase > 120",
            "customers": 412,
        }
    ],
    "as_of": _NOON,
}
SEGMENT_CUSTOMERS_ANSWER: Example = {
    "customers": [
        {
            "customer_id": _CUSTOMER,
            "since": _NOON,
            "tier": "bronze",
            "purchases": 3,
            "spent_minor": 14_997,
            "last_purchase_at": _NOON,
        }
    ],
    "next_cursor": None,
}
CAMPAIGNS_ANSWER: Example = {
    "campaigns": [
        {
            "id": "win-back-2026",
            "name": "We miss you",
            "segment": "dormant",
            "status": "running",
            "offered": 206,
            "held_out": 199,
            "first_at": _NOON,
            "last_at": _NOON,
        }
    ]
}
ENTRIES_ANSWER: Example = {
    "entries": [
        {
            "seq": 1,
            "kind": "award",
            "points": 49,
            "balance_after": 49,
            "occurred_at": _NOON,
            "recorded_at": "2026-11-01T12:00:01.250000Z",
            "cause": "purchase:1001",
            "program_version": 1,
            "actor": "key:3f9c0a51d2e4",
            "note": None,
            "digest": "9f2b" * 16,
            "explanation": [{"rule_id": "base", "points": 49, "text": "1 point per 1.00 USD on 49.99 USD"}],
        }
    ],
    "next_cursor": None,
}
LINK_ANSWER: Example = {
    "url": "https://rewards.example.com/me/eyJjIjoiYy0xIn0.c2lnbmF0dXJl",
    "expires_at": "2026-12-01T12:00:00Z",
}
TAGS: Example = {"tags": ["wholesale"]}
TAGS_ANSWER: Example = {"customer_id": _CUSTOMER, "tags": ["wholesale"]}

IDENTITY: Example = {"same_as": "c-2"}
IDENTITY_ANSWER: Example = {"customer_id": _CUSTOMER, "same_as": "c-2"}

PROFILE: Example = {
    "email": "ada@example.com",
    "name": "Ada Example",
    "birthday": "1990-05-17",
    "joined_at": "2025-03-14T09:26:53Z",
    "attributes": {"country": "GB"},
}
PROFILE_ANSWER: Example = {"customer_id": _CUSTOMER, **PROFILE, "updated_at": _NOON, "erased_at": None}
ERASED_ANSWER: Example = {
    "customer_id": _CUSTOMER,
    "erased_at": _NOON,
    "profile": True,
    "fingerprints": 1,
    "activities": 2,
}
EXPORT_ANSWER: Example = {
    "customer_id": _CUSTOMER,
    "exported_at": _NOON,
    "profile": PROFILE_ANSWER,
    "tags": ["wholesale"],
    "statement": CUSTOMER_ANSWER,
    "entries": ENTRIES_ANSWER["entries"],
    "activities": [
        {
            "activity_key": "purchase:1001",
            "occurred_at": _NOON,
            "points": 49,
            "program_version": 1,
            "body": {"type": "purchase", "order_id": "1001", "total_minor": 4999, "currency": "USD"},
        }
    ],
    "survey_answers": [],
    "redemptions": [],
    "refunds": [],
    "moves": [],
    "standing_grants": [],
    "referrals": {
        "own_code": None,
        "brought_by_a_friend": None,
        "referred": 0,
        "first_at": None,
        "last_at": None,
    },
    "fingerprints": [],
    "same_person_as": None,
    "experiments": [],
    "erased_at": [],
}

SURVEY_LINK: Example = {"survey_id": "nps-2026q4", "expires_in": "P14D"}
SURVEY_LINK_ANSWER: Example = {
    "url": "https://rewards.example.com/s/WyJjLTEiLCJucHMtMjAyNnE0Il0.c2lnbmF0dXJl",
    "expires_at": "2026-11-15T12:00:00Z",
}

REFERRAL_CODE_ANSWER: Example = {"code": "7KQM-2RTX-PWHD"}
REFERRAL_NOTE: Example = {"note": "A family of two at one address"}
REFERRAL: Example = {
    "referred_customer_id": "c-2",
    "referrer_customer_id": _CUSTOMER,
    "code": "7KQM-2RTX-PWHD",
    "status": "flagged",
    "reasons": [{"guard": "fingerprints", "text": "the same address as the referrer's"}],
    "attributed_at": _NOON,
    "closes_at": "2026-12-01T12:00:00Z",
    "order_id": "2001",
    "order_minor": 4999,
    "ordered_at": _NOON,
    "qualified_at": None,
    "rewarded_at": None,
    "undone_at": None,
    "decided_by": None,
    "decided_at": None,
    "note": None,
}
REFERRALS_ANSWER: Example = {"referrals": [REFERRAL], "next_cursor": None}

_DOCUMENT: Example = {
    "schema_version": 1,
    "name": "Tea club",
    "currency": "USD",
    "timezone": "America/New_York",
    "earn": [
        {"id": "base", "activity": "purchase", "gives": {"type": "per_amount", "points": 1, "per_minor": 100}}
    ],
    "points": {"pending": "P14D", "expiry": {"type": "after", "period": "P12M"}},
}
PUBLISH: Example = {
    "document": _DOCUMENT,
    "effective_from": "2026-12-01T05:00:00Z",
    "note": "A refund window",
}
PROGRAM_ANSWER: Example = {
    "version": 2,
    "effective_from": "2026-12-01T05:00:00Z",
    "published_at": _NOON,
    "published_by": "key:3f9c0a51d2e4",
    "note": "A refund window",
    "document": _DOCUMENT,
}

# -- metrics -------------------------------------------------------------------------------------------------

_REPEAT_RATE: Example = {
    "title": "Repeat purchase rate",
    "family": "Repeat purchase",
    "formula": "customers with at least 2 purchases in the window ÷ customers with at least 1 in it",
    "numerator": "customers with at least two purchases in the window",
    "denominator": "customers who bought in the window",
    "window": "365 days up to and with the day asked for.",
    "edges": ["It grows with the length of the window by itself: compare windows of one length only."],
    "source": "",
}
METRICS_ANSWER: Example = {
    "metrics": [
        {
            "name": "repeat-rate",
            "unit": "share",
            "definition": _REPEAT_RATE,
            "parameters": [
                {
                    "name": "days",
                    "kind": "days",
                    "default": 365,
                    "help": "how long the window is, where it is in days",
                    "choices": [],
                    "least": 1,
                    "most": 36500,
                }
            ],
            "has_rows": True,
        }
    ]
}
METRIC_ANSWER: Example = {
    "name": "repeat-rate",
    "as_of": "2026-10-31",
    "value": 0.6351,
    "numerator": 2708,
    "denominator": 4264,
    "interval": {"low": 0.6205, "high": 0.6494, "level": 0.95},
    "unit": "share",
    "evidence": "measured",
    "reason_if_null": None,
    "currency": "USD",
    "definition": _REPEAT_RATE,
    "parameters": {"from": "2025-11-01", "to": "2026-11-01"},
    "notes": [],
    "breakdown": {
        "denominators": {
            "title": "By whom the repeaters are divided by",
            "chart": "none",
            "columns": [
                {"key": "of", "heading": "Of the customers", "unit": "text"},
                {"key": "rate", "heading": "Share", "unit": "share"},
            ],
            "rows": [{"of": "who bought in the window", "rate": 0.6351}],
        }
    },
}
