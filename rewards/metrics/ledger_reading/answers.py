"""Answers to surveys, one of each person: the last that can be read."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, text

from rewards.core.wire import TextArray
from rewards.metrics.ledger_reading.clocks import NOT_CUSTOMERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Asked(NamedTuple):
    """A survey that somebody answered.

    Attributes:
        survey_id: which.
        has_nps: whether any answer has a question named ``nps``.
        has_index: whether any has the three questions of the loyalty index.
        most_recommend: the highest number answered to a question named ``recommend``; None where there is none.
    """

    survey_id: str
    has_nps: bool
    has_index: bool
    most_recommend: int | None


_ASKED = """
SELECT survey_id, bool_or(jsonb_exists(answers, 'nps')) AS has_nps,
       bool_or(jsonb_exists_all(answers, ARRAY['recommend', 'buy_again', 'try_others'])) AS has_index,
       max(CASE WHEN answers ->> 'recommend' ~ '^[0-9]{1,3}$' THEN CAST(answers ->> 'recommend' AS int) END)
           AS most_recommend
FROM survey_answers GROUP BY survey_id ORDER BY survey_id"""


def read_asked(conn: Connection) -> list[Asked]:
    """Return the surveys that anybody ever answered."""
    return [Asked(*row) for row in conn.execute(text(_ASKED))]


class Wanted(NamedTuple):
    """A question of a survey and which whole numbers may be answered to it."""

    survey_id: str
    question: str
    lowest: int
    highest: int


class Said(NamedTuple):
    """Answers to questions, by person.

    Attributes:
        unit: the person's number, int32; −1 for one who has none.
        survey: the survey's place among those asked for, int32.
        at: when, int64, microseconds since the epoch.
        numbers: what was answered, one column a question, int64.
        unread: how many answers lack a number that can be read, of those that are in the time.
    """

    unit: "NDArray[np.int32]"
    survey: "NDArray[np.int32]"
    at: "NDArray[np.int64]"
    numbers: "NDArray[np.int64]"
    unread: int


# A number may have come as one or as text, as from a file. Whoever answered as two accounts is one person.
_SAID = """
WITH wanted AS (
    SELECT * FROM unnest(CAST(:surveys AS text[]), CAST(:questions AS text[]), CAST(:lowest AS int[]),
                         CAST(:highest AS int[])) AS w (survey_id, question, lowest, highest)
), said AS (
    SELECT coalesce(i.same_as, a.customer_id) AS person, a.survey_id, a.answered_at,
           bool_or(coalesce(a.answers ->> w.question, '') <> '') AS is_said,
           array_agg(CASE WHEN a.answers ->> w.question ~ '^-?[0-9]{{1,3}}(\\.0+)?$'
                          THEN CAST(CAST(a.answers ->> w.question AS numeric) AS int) END
                     ORDER BY w.question COLLATE "C") AS numbers,
           array_agg(w.lowest ORDER BY w.question COLLATE "C") AS lowest,
           array_agg(w.highest ORDER BY w.question COLLATE "C") AS highest
    FROM survey_answers AS a JOIN wanted AS w ON w.survey_id = a.survey_id
    LEFT JOIN identities AS i ON i.customer_id = a.customer_id
    WHERE a.answered_at >= :since AND a.answered_at < :until AND a.customer_id NOT IN {not_customers}
    GROUP BY a.customer_id, i.same_as, a.survey_id, a.source, a.answered_at
), read AS (
    SELECT s.*, (SELECT bool_and(n.number IS NOT NULL AND n.number BETWEEN n.lowest AND n.highest)
                 FROM unnest(s.numbers, s.lowest, s.highest) AS n (number, lowest, highest)) AS is_read
    FROM said AS s
)
SELECT r.person, r.survey_id, r.answered_at, r.numbers, r.is_read, p.unit_no
FROM (
    SELECT DISTINCT ON (is_read, person {wave}) * FROM read
    WHERE is_read ORDER BY is_read, person {wave}, answered_at DESC, survey_id DESC
) AS r LEFT JOIN customer_stats AS p ON p.customer_id = r.person
UNION ALL
SELECT NULL, NULL, NULL, NULL, false, count(*) FROM read WHERE is_said AND NOT is_read"""


def read_said(
    conn: Connection, wanted: Sequence[Wanted], since: datetime, until: datetime, *, by_survey: bool
) -> Said:
    """Return the last answer of each person in ``[since, until)``, of each to each survey where ``by_survey``.

    An answer counts that has a number within its scale for every question wanted of its survey. Columns of numbers are
    in the order of the questions' names.
    """
    import numpy as np

    sql = _SAID.format(not_customers=NOT_CUSTOMERS, wave=", survey_id" if by_survey else "")
    rows: Sequence[Any] = conn.execute(
        text(sql),
        {
            "surveys": TextArray([each.survey_id for each in wanted]),
            "questions": TextArray([each.question for each in wanted]),
            "lowest": [each.lowest for each in wanted],
            "highest": [each.highest for each in wanted],
            "since": since,
            "until": until,
        },
    ).all()
    places = {name: place for place, name in enumerate(dict.fromkeys(each.survey_id for each in wanted))}
    columns = max((len([each for each in wanted if each.survey_id == name]) for name in places), default=1)
    read = [row for row in rows if row.is_read]
    return Said(
        np.array([-1 if row.unit_no is None else row.unit_no for row in read], dtype=np.int32),
        np.array([places[row.survey_id] for row in read], dtype=np.int32),
        np.array([round(row.answered_at.timestamp() * 1e6) for row in read], dtype=np.int64),
        np.array([row.numbers for row in read], dtype=np.int64).reshape(len(read), columns),
        sum(row.unit_no for row in rows if not row.is_read),
    )
