"""The metrics of purchases as plain SQL, written from their definitions and not from the code, for the tests."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from metric_shops import Order
from sqlalchemy import Connection, text

TABLES = """
CREATE TEMP TABLE raw (customer int, at timestamptz, amount bigint, refunded bigint) ON COMMIT DROP;
CREATE TEMP TABLE merged (customer int, same_as int) ON COMMIT DROP;
CREATE TEMP TABLE shop (zone text, as_of date, until date) ON COMMIT DROP
"""
#: ``purchase`` is every order of a customer after merging, up to as_of; ``bought`` is the days with one.
FACTS = """
CREATE TEMP TABLE purchase ON COMMIT DROP AS
    SELECT coalesce(m.same_as, r.customer) AS who, r.at, (r.at AT TIME ZONE s.zone)::date AS day, r.amount, r.refunded
    FROM raw AS r LEFT JOIN merged AS m USING (customer) CROSS JOIN shop AS s
    WHERE (r.at AT TIME ZONE s.zone)::date <= s.as_of;
CREATE INDEX ON purchase (who, day);
CREATE TEMP TABLE bought ON COMMIT DROP AS SELECT DISTINCT who, day FROM purchase;
CREATE TEMP TABLE first ON COMMIT DROP AS SELECT who, min(day) AS day, min(at) AS at FROM purchase GROUP BY who;
CREATE TEMP TABLE gap ON COMMIT DROP AS
    SELECT who, day, nth, next - day AS days, next FROM (
        SELECT who, day, row_number() OVER w AS nth, lead(day) OVER w AS next FROM bought
        WINDOW w AS (PARTITION BY who ORDER BY day)) AS each
    WHERE next IS NOT NULL;
ANALYZE purchase
"""


class Shop:
    """A shop's orders in temporary tables of a connection."""

    def __init__(
        self,
        connection: Connection,
        rows: Iterable[Order],
        zone: ZoneInfo,
        merges: Mapping[int, int] | None = None,
    ) -> None:
        self.connection, self.zone = connection, zone
        rows = list(rows)
        self._run(TABLES)
        connection.execute(
            text(
                "INSERT INTO raw SELECT * FROM unnest(CAST(:a AS int[]), CAST(:b AS timestamptz[]), CAST(:c AS bigint[]), CAST(:d AS bigint[]))"
            ),
            {
                "a": [each.customer for each in rows],
                "b": [each.at for each in rows],
                "c": [each.amount for each in rows],
                "d": [each.refunded for each in rows],
            },
        )
        for customer, same_as in (merges or {}).items():
            connection.execute(text("INSERT INTO merged VALUES (:a, :b)"), {"a": customer, "b": same_as})

    def as_of(self, day: date) -> "Shop":
        """See the shop as of this day."""
        self.connection.execute(
            text("INSERT INTO shop VALUES (:zone, :day, CAST(:day AS date) + 1)"),
            {"zone": str(self.zone), "day": day},
        )
        self._run(FACTS)
        return self

    def _run(self, statements: str) -> None:
        for statement in statements.split(";\n"):
            self.connection.execute(text(statement))

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.connection.execute(text(query), values)]

    def row(self, query: str, **values: Any) -> tuple[Any, ...]:
        (row,) = self.rows(query, **values)
        return row


REPEAT = """
WITH counts AS (SELECT who, count(DISTINCT day) AS days, count(*) AS orders FROM purchase WHERE day >= :a AND day < :b GROUP BY who)
SELECT count(*) FILTER (WHERE CASE WHEN :unit = 'orders' THEN orders ELSE days END >= 2), count(*),
       (SELECT count(DISTINCT who) FROM purchase WHERE day < :b)
FROM counts"""

RETURNING = """
SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM purchase AS p WHERE p.who = b.who AND p.day < :a)
                        OR CASE WHEN :unit = 'orders' THEN orders ELSE days END >= 2), count(*)
FROM (SELECT who, count(DISTINCT day) AS days, count(*) AS orders FROM purchase WHERE day >= :a AND day < :b GROUP BY who) AS b"""

WAITS = """
WITH numbered AS (
    SELECT who, day, row_number() OVER (PARTITION BY who ORDER BY at) AS nth
    FROM (SELECT who, day, min(at) AS at FROM purchase
          GROUP BY who, day, CASE WHEN :unit = 'orders' THEN at END) AS each)
SELECT f.who, f.day AS first_day, s.day - f.day AS days, (SELECT as_of FROM shop) - f.day AS watched
FROM numbered AS f LEFT JOIN numbered AS s ON s.who = f.who AND s.nth = 2
WHERE f.nth = 1 AND f.day >= :a AND f.day < :b"""

MATURED = f"SELECT count(*) FILTER (WHERE days <= :within), count(*) FROM ({WAITS}) AS w"

#: S after each day, from the product of what was left of those at risk.
CURVE = f"""
WITH waits AS ({WAITS}), ends AS (SELECT coalesce(days, watched) AS day, days IS NOT NULL AS came FROM waits),
     counts AS (SELECT day, count(*) FILTER (WHERE came) AS died, (SELECT count(*) FROM ends AS l WHERE l.day >= e.day) AS risk
                FROM ends AS e GROUP BY day)
SELECT day, risk, died, CASE WHEN bool_or(died = risk) OVER o THEN 0
       ELSE exp(sum(ln(CASE WHEN died = risk THEN 1 ELSE 1 - died::float8 / risk END)) OVER o) END
FROM counts WINDOW o AS (ORDER BY day) ORDER BY day"""

USUAL = "SELECT greatest(30, ceil(percentile_cont(0.9) WITHIN GROUP (ORDER BY days)))::int FROM gap"

_SIDES = """
before AS (SELECT DISTINCT who FROM purchase WHERE day >= CAST(:a AS date) - :w AND day < :a),
after AS (SELECT DISTINCT who FROM purchase WHERE day >= CAST(:b AS date) - :w AND day < :b),
fresh AS (SELECT who FROM first WHERE day >= :a AND day < :b)"""

MOVEMENT = f"""
WITH {_SIDES}
SELECT (SELECT count(*) FROM before),
       (SELECT count(*) FROM (SELECT who FROM before INTERSECT SELECT who FROM after) AS x),
       (SELECT count(*) FROM (SELECT who FROM before EXCEPT SELECT who FROM after) AS x),
       (SELECT count(*) FROM fresh),
       (SELECT count(*) FROM (SELECT who FROM fresh EXCEPT SELECT who FROM after) AS x),
       (SELECT count(*) FROM (SELECT who FROM after EXCEPT SELECT who FROM before EXCEPT SELECT who FROM fresh) AS x),
       (SELECT count(*) FROM after)"""

REVENUE = f"""
WITH {_SIDES},
each AS (SELECT who, (SELECT coalesce(sum(amount - CASE WHEN :net THEN refunded ELSE 0 END), 0) FROM purchase AS p
                      WHERE p.who = b.who AND day >= CAST(:a AS date) - :w AND day < :a)::bigint AS r0,
                (SELECT coalesce(sum(amount - CASE WHEN :net THEN refunded ELSE 0 END), 0) FROM purchase AS p
                 WHERE p.who = b.who AND day >= CAST(:b AS date) - :w AND day < :b)::bigint AS r1,
                NOT EXISTS (SELECT FROM after AS c WHERE c.who = b.who) AS lost
         FROM before AS b)
SELECT 1 - sum(least(greatest(r0, 0), greatest(r1, 0))) / nullif(sum(greatest(r0, 0)), 0), sum(r1) / nullif(sum(r0), 0),
       sum(greatest(r0, 0)) FILTER (WHERE lost) / nullif(sum(greatest(r0, 0)), 0)
FROM each"""

_CALENDAR = """
p AS (SELECT f.who, f.day + :low AS opens, f.day + :high AS closes, f.day + :high <= (SELECT until FROM shop) AS over
      FROM first AS f),
hits AS (SELECT p.who, EXISTS (SELECT FROM purchase AS q WHERE q.who = p.who AND q.day >= p.opens AND q.day < p.closes) AS on_it,
                EXISTS (SELECT FROM purchase AS q WHERE q.who = p.who AND q.day >= p.opens) AS later FROM p WHERE over)"""
_ROLLING = """
p AS (SELECT f.who, f.at + make_interval(hours => 24 * :low) AS opens, f.at + make_interval(hours => 24 * :high) AS closes,
             f.at + make_interval(hours => 24 * :high) <= (SELECT until::timestamp AT TIME ZONE zone FROM shop) AS over
      FROM first AS f),
hits AS (SELECT p.who, EXISTS (SELECT FROM purchase AS q WHERE q.who = p.who AND q.at >= p.opens AND q.at < p.closes) AS on_it,
                EXISTS (SELECT FROM purchase AS q WHERE q.who = p.who AND q.at >= p.opens) AS later FROM p WHERE over)"""
SINCE = {
    clock: f"WITH {part} SELECT count(*) FILTER (WHERE on_it), count(*) FILTER (WHERE later), count(*) FROM hits"
    for clock, part in (("calendar", _CALENDAR), ("rolling", _ROLLING))
}

COHORTS = """
WITH c AS (SELECT who, date_trunc('month', day::timestamp) AS cohort FROM first),
     sizes AS (SELECT cohort, count(*) AS size FROM c GROUP BY cohort),
     cells AS (SELECT cohort, CAST(extract(year FROM age(date_trunc('month', p.day::timestamp), cohort)) * 12
                              + extract(month FROM age(date_trunc('month', p.day::timestamp), cohort)) AS int) AS k,
                      count(DISTINCT who) AS buyers, sum(amount - refunded)::bigint AS net, sum(amount)::bigint AS gross
               FROM purchase AS p JOIN c USING (who) GROUP BY 1, 2)
SELECT to_char(cohort, 'YYYY-MM'), k, buyers, size, net, gross FROM cells JOIN sizes USING (cohort) ORDER BY 1, 2"""

#: A segment is the greatest of 1, 2, 3, 5, 10 that the purchase days so far reach.
DORMANT = """
WITH seg AS (SELECT days, next, who, CASE WHEN nth >= 10 THEN 10 WHEN nth >= 5 THEN 5 WHEN nth >= 3 THEN 3 ELSE nth END AS s FROM gap),
     every AS (SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY days) AS d, percentile_cont(0.99) WITHIN GROUP (ORDER BY days) AS l FROM gap),
     own AS (SELECT s, count(*) AS n, percentile_cont(0.9) WITHIN GROUP (ORDER BY days) AS d,
                    percentile_cont(0.99) WITHIN GROUP (ORDER BY days) AS l FROM seg GROUP BY s),
     limits AS (SELECT x.s, CASE WHEN own.n >= 30 THEN own.d ELSE every.d END AS d, CASE WHEN own.n >= 30 THEN own.l ELSE every.l END AS l
                FROM (VALUES (1), (2), (3), (5), (10)) AS x (s) LEFT JOIN own USING (s) CROSS JOIN every),
     now AS (SELECT who, (SELECT as_of FROM shop) - max(day) AS idle,
                    CASE WHEN count(*) >= 10 THEN 10 WHEN count(*) >= 5 THEN 5 WHEN count(*) >= 3 THEN 3 ELSE count(*) END AS s
             FROM bought GROUP BY who)
SELECT count(*) FILTER (WHERE idle <= d), count(*) FILTER (WHERE idle > d AND idle <= l), count(*) FILTER (WHERE idle > l),
       (SELECT count(DISTINCT seg.who) FROM seg JOIN limits USING (s), shop WHERE days > d AND next >= until - 90)
FROM now JOIN limits USING (s)"""
