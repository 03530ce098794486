"""Surveys for the pages in the tests: every kind of question, every state."""

from datetime import datetime, timedelta
from typing import Any

EVERYTHING, INDEX, HARSH, SOON, OVER = "how-was-autumn", "index", "harsh", "soon", "over"
HARSH_TEXT = '"><script>alert(1)</script>' + "unbreakable" * 12


def surveys(now: datetime) -> list[dict[str, Any]]:
    """Return a program's surveys at ``now``."""

    def day(days: float) -> str:
        return (now + timedelta(days=days)).date().isoformat()

    how_likely = {
        "id": "recommend",
        "type": "nps",
        "text": "How likely are you to recommend Wren & Thistle to a friend?",
    }
    everything = [
        how_likely,
        {
            "id": "parcel",
            "type": "scale",
            "text": "How did your last parcel arrive?",
            "lowest": 1,
            "highest": 5,
            "better": "high",
            "labels": {"lowest": "In pieces", "highest": "Perfectly"},
        },
        {
            "id": "found",
            "type": "choice",
            "text": "How did you find us?",
            "options": [
                {"id": "friend", "text": "A friend told me"},
                {"id": "search", "text": "I searched for tea"},
                {"id": "market", "text": "At the market, where your stall stands beside the baker’s"},
            ],
        },
        {
            "id": "drinks",
            "type": "choice",
            "multiple": True,
            "required": False,
            "text": "What do you drink?",
            "options": [
                {"id": "black", "text": "Black tea"},
                {"id": "green", "text": "Green tea"},
                {"id": "herbs", "text": "Herbs"},
            ],
        },
        {
            "id": "wish",
            "type": "text",
            "required": False,
            "max_length": 300,
            "text": "If you had one wish, what would it be?",
        },
    ]
    harsh = [
        {"id": "t", "type": "text", "text": HARSH_TEXT},
        {
            "id": "c",
            "type": "choice",
            "text": HARSH_TEXT,
            "options": [{"id": "a", "text": HARSH_TEXT}, {"id": "b", "text": "B"}],
        },
        {"id": "s", "type": "scale", "text": "A long one", "lowest": -100, "highest": -80, "better": "low"},
    ]
    introduction = "It is about your last order. Your answers help us pack, brew and choose better."
    return [
        {
            "id": EVERYTHING,
            "title": "How was your autumn with us?",
            "introduction": introduction,
            "closes": day(30),
            "questions": everything,
        },
        {"id": INDEX, "title": "Three quick questions", "template": "customer_loyalty_index"},
        {"id": HARSH, "title": HARSH_TEXT, "introduction": HARSH_TEXT, "questions": harsh},
        {"id": SOON, "title": "Soon", "opens": day(10), "questions": [how_likely]},
        {"id": OVER, "title": "Over", "closes": day(-10), "questions": [how_likely]},
    ]
