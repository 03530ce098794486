"""The SQL by which facts follow from the ledger, for the customers that the temporary table ``touched`` names.

Each ``WORKED_OUT`` query says what the rows of a table are; refreshing stores where that differs from what is there,
and comparing tells it. So there is one place that knows what a purchase is.
"""

# ruff: noqa: S608 - queries are made of the constants of this module alone

from rewards.facts.tables import EXCLUDED_TAGS

_TAGS = "'{" + ",".join(EXCLUDED_TAGS) + "}'"
#: Written by a transaction that the last run could not see, and this one can.
_IS_NEW = """xact >= :horizon AND xact < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
      AND NOT pg_visible_in_snapshot(xact::text::xid8, CAST(:snapshot AS pg_snapshot))"""

# A person is whom a customer is the same as, or itself. Who loses one has a row of its own in identities that is new.
_PERSONS_WITH_NEWS = f"""
news AS (
    SELECT customer_id FROM commands WHERE {_IS_NEW}
    UNION
    SELECT customer_id FROM identities WHERE {_IS_NEW}
),
tagged AS (
    SELECT coalesce(i.same_as, a.customer_id) AS person
    FROM accounts AS a LEFT JOIN identities AS i ON i.customer_id = a.customer_id
    WHERE a.tags <> '{{}}' AND a.tags && {_TAGS} AND a.joined_at IS NOT NULL
),
marked AS (SELECT customer_id AS person FROM customer_stats WHERE excluded),
with_news AS (
    SELECT coalesce(i.same_as, n.customer_id) AS person
    FROM news AS n LEFT JOIN identities AS i ON i.customer_id = n.customer_id
    -- Tags are set without a command's key, so they are compared.
    UNION (SELECT person FROM tagged EXCEPT SELECT person FROM marked)
    UNION (SELECT person FROM marked EXCEPT SELECT person FROM tagged)
)"""

_WITH_NEWS = f"""
WITH {_PERSONS_WITH_NEWS}
SELECT w.person AS customer_id, coalesce(i.same_as, w.person) AS person
FROM with_news AS w LEFT JOIN identities AS i ON i.customer_id = w.person
UNION
SELECT i.customer_id, i.same_as FROM with_news AS w JOIN identities AS i ON i.same_as = w.person"""

#: The customers whose facts may have changed since the last run, each with the person that it is.
TOUCH_NEWS = f"CREATE TEMP TABLE touched ON COMMIT DROP AS {_WITH_NEWS}"

TOUCH_ALL = """
CREATE TEMP TABLE touched ON COMMIT DROP AS
SELECT a.customer_id, coalesce(i.same_as, a.customer_id) AS person
FROM accounts AS a LEFT JOIN identities AS i ON i.customer_id = a.customer_id"""

#: For a comparison: who has news that no run has seen yet, and all others.
LIST_UNSEEN = f"CREATE TEMP TABLE unseen ON COMMIT DROP AS {_WITH_NEWS}"
TOUCH_ALL_SEEN = f"{TOUCH_ALL} WHERE a.customer_id NOT IN (SELECT customer_id FROM unseen)"

#: The persons among them who ever did anything.
LIST_PERSONS = f"""
CREATE TEMP TABLE persons ON COMMIT DROP AS
SELECT t.person AS customer_id, min(a.joined_at) AS first_activity_at, bool_or(a.tags && {_TAGS}) AS excluded
FROM touched AS t JOIN accounts AS a ON a.customer_id = t.customer_id
WHERE a.joined_at IS NOT NULL
GROUP BY t.person"""

ANALYZE = "ANALYZE touched; ANALYZE persons"

#: Persons who are part of another one now; all who are none where everything is worked out.
FORGET_PERSONS = """
DELETE FROM customer_stats AS s
WHERE s.customer_id IN (SELECT customer_id FROM touched)
  AND NOT EXISTS (SELECT FROM persons AS k WHERE k.customer_id = s.customer_id)"""
FORGET_ALL_PERSONS = """
DELETE FROM customer_stats AS s WHERE NOT EXISTS (SELECT FROM persons AS k WHERE k.customer_id = s.customer_id)"""

NUMBER_PERSONS = """
INSERT INTO customer_stats (customer_id)
SELECT k.customer_id FROM persons AS k
WHERE NOT EXISTS (SELECT FROM customer_stats AS s WHERE s.customer_id = k.customer_id)
ORDER BY 1"""

# Of an order that points have paid in part, what was refunded is taken from the money in proportion, rounded down.
WORKED_OUT_PURCHASES = """
SELECT t.customer_id, substr(a.activity_key, 10) AS order_id, s.unit_no, a.occurred_at AS ordered_at,
       CAST(a.occurred_at AT TIME ZONE :zone AS date) AS day,
       b.total_minor - coalesce(b.points_minor, 0) AS amount_minor,
       CASE WHEN r.refunded_minor IS NULL THEN 0
            WHEN coalesce(b.points_minor, 0) = 0 THEN least(r.refunded_minor, b.total_minor)
            ELSE CAST(div(CAST(least(r.refunded_minor, b.total_minor) AS numeric) * (b.total_minor - b.points_minor),
                          b.total_minor) AS bigint)
       END AS refunded_minor,
       b.currency,
       CASE WHEN b.currency <> :currency THEN 'other-currency'
            WHEN b.total_minor <= 0 THEN 'zero'
            WHEN b.points_minor >= b.total_minor THEN 'points-only'
            ELSE 'purchase'
       END AS status
FROM touched AS t
JOIN customer_stats AS s ON s.customer_id = t.person
JOIN activities AS a ON a.customer_id = t.customer_id
 AND a.activity_key >= 'purchase:' AND a.activity_key < 'purchase;'
CROSS JOIN LATERAL json_to_record(a.body) AS b (total_minor bigint, points_minor bigint, currency text)
LEFT JOIN (
    SELECT r.customer_id, r.order_id, CAST(sum(r.amount_minor) AS bigint) AS refunded_minor
    FROM touched AS u JOIN reversals AS r ON r.customer_id = u.customer_id
    GROUP BY r.customer_id, r.order_id
) AS r ON r.customer_id = t.customer_id AND r.order_id = substr(a.activity_key, 10)"""

STORE_PURCHASES = f"""
MERGE INTO purchases AS p USING ({WORKED_OUT_PURCHASES}) AS q
ON p.customer_id = q.customer_id AND p.order_id = q.order_id
WHEN MATCHED AND (p.unit_no, p.ordered_at, p.day, p.amount_minor, p.refunded_minor, p.currency, p.status)
              <> (q.unit_no, q.ordered_at, q.day, q.amount_minor, q.refunded_minor, q.currency, q.status) THEN
    UPDATE SET unit_no = q.unit_no, ordered_at = q.ordered_at, day = q.day, amount_minor = q.amount_minor,
               refunded_minor = q.refunded_minor, currency = q.currency, status = q.status
WHEN NOT MATCHED THEN
    INSERT (customer_id, order_id, unit_no, ordered_at, day, amount_minor, refunded_minor, currency, status)
    VALUES (q.customer_id, q.order_id, q.unit_no, q.ordered_at, q.day, q.amount_minor, q.refunded_minor, q.currency,
            q.status)"""

#: Activities are never removed, so this finds something only where somebody wrote here by hand. After all purchases
#: were stored there are as many as activities or more; counting both spares it to look for each of them.
FORGET_PURCHASES = """
DELETE FROM purchases AS p
WHERE (SELECT count(*) FROM purchases)
    > (SELECT count(*) FROM activities WHERE activity_key >= 'purchase:' AND activity_key < 'purchase;')
  AND NOT EXISTS (
    SELECT FROM activities AS a
    WHERE a.customer_id = p.customer_id AND a.activity_key = 'purchase:' || p.order_id)"""

WORKED_OUT_ANSWERS = """
SELECT t.customer_id, substr(a.activity_key, 8) AS survey_id, 'activity' AS source, a.occurred_at AS answered_at,
       coalesce(CAST(a.body -> 'answers' AS jsonb), '{}') AS answers
FROM touched AS t
JOIN activities AS a ON a.customer_id = t.customer_id
 AND a.activity_key >= 'survey:' AND a.activity_key < 'survey;'"""

STORE_ANSWERS = f"""
MERGE INTO survey_answers AS p USING ({WORKED_OUT_ANSWERS}) AS q
ON p.customer_id = q.customer_id AND p.survey_id = q.survey_id AND p.source = q.source
WHEN MATCHED AND (p.answered_at, p.answers) <> (q.answered_at, q.answers) THEN
    UPDATE SET answered_at = q.answered_at, answers = q.answers
WHEN NOT MATCHED THEN
    INSERT (customer_id, survey_id, source, answered_at, answers)
    VALUES (q.customer_id, q.survey_id, q.source, q.answered_at, q.answers)"""

FORGET_ANSWERS = """
DELETE FROM survey_answers AS p
WHERE p.source = 'activity' AND NOT EXISTS (
    SELECT FROM activities AS a
    WHERE a.customer_id = p.customer_id AND a.activity_key = 'survey:' || p.survey_id)"""

# What was bought is read by customer where there are a few, and as it lies where everybody is looked at.
_BOUGHT = "touched AS t JOIN purchases AS p ON p.customer_id = t.customer_id"
_ALL_BOUGHT = "purchases AS p"

_WORKED_OUT_STATS = """
SELECT s.customer_id, s.unit_no, b.first_at, b.last_at, b.first_day, b.last_day,
       CAST(date_trunc('month', CAST(b.first_day AS timestamp)) AS date) AS cohort_month,
       coalesce(b.orders, 0) AS orders, coalesce(b.purchase_days, 0) AS purchase_days,
       coalesce(b.revenue_minor, 0) AS revenue_minor, coalesce(b.refunded_minor, 0) AS refunded_minor,
       k.first_activity_at, k.excluded
FROM persons AS k
JOIN customer_stats AS s ON s.customer_id = k.customer_id
LEFT JOIN (
    SELECT p.unit_no, min(p.ordered_at) AS first_at, max(p.ordered_at) AS last_at, min(p.day) AS first_day,
           max(p.day) AS last_day, count(*) AS orders, count(DISTINCT p.day) AS purchase_days,
           CAST(sum(p.amount_minor) AS bigint) AS revenue_minor,
           CAST(sum(p.refunded_minor) AS bigint) AS refunded_minor
    FROM {bought} WHERE p.status = 'purchase' GROUP BY p.unit_no
) AS b ON b.unit_no = s.unit_no"""
WORKED_OUT_STATS = _WORKED_OUT_STATS.format(bought=_BOUGHT)
WORKED_OUT_ALL_STATS = _WORKED_OUT_STATS.format(bought=_ALL_BOUGHT)

#: What is stored of a person, beside who it is.
FIGURES = (
    "first_at",
    "last_at",
    "first_day",
    "last_day",
    "cohort_month",
    "orders",
    "purchase_days",
    "revenue_minor",
    "refunded_minor",
    "first_activity_at",
    "excluded",
)


def _store_stats(query: str) -> str:
    stored, worked_out = (", ".join(f"{alias}.{each}" for each in FIGURES) for alias in ("s", "q"))
    return (
        f"UPDATE customer_stats AS s SET ({', '.join(FIGURES)}) = ROW ({worked_out}) FROM ({query}) AS q"
        f" WHERE s.customer_id = q.customer_id AND ROW ({stored}) IS DISTINCT FROM ROW ({worked_out})"
    )


STORE_STATS = _store_stats(WORKED_OUT_STATS)
STORE_ALL_STATS = _store_stats(WORKED_OUT_ALL_STATS)

_WORKED_OUT_MONTHS = """
SELECT s.unit_no, m.month, s.cohort_month, m.orders, m.purchase_days, m.revenue_minor, m.refunded_minor
FROM persons AS k
JOIN customer_stats AS s ON s.customer_id = k.customer_id AND NOT s.excluded
JOIN (
    SELECT p.unit_no, CAST(date_trunc('month', CAST(p.day AS timestamp)) AS date) AS month, count(*) AS orders,
           count(DISTINCT p.day) AS purchase_days, CAST(sum(p.amount_minor) AS bigint) AS revenue_minor,
           CAST(sum(p.refunded_minor) AS bigint) AS refunded_minor
    FROM {bought} WHERE p.status = 'purchase' GROUP BY p.unit_no, 2
) AS m ON m.unit_no = s.unit_no"""
WORKED_OUT_MONTHS = _WORKED_OUT_MONTHS.format(bought=_BOUGHT)
WORKED_OUT_ALL_MONTHS = _WORKED_OUT_MONTHS.format(bought=_ALL_BOUGHT)

LIST_MONTHS = f"CREATE TEMP TABLE months ON COMMIT DROP AS {WORKED_OUT_MONTHS}"
LIST_ALL_MONTHS = f"CREATE TEMP TABLE months ON COMMIT DROP AS {WORKED_OUT_ALL_MONTHS}"
ANALYZE_MONTHS = "ANALYZE months"

STORE_MONTHS = """
MERGE INTO customer_months AS m USING months AS q ON m.unit_no = q.unit_no AND m.month = q.month
WHEN MATCHED AND (m.cohort_month, m.orders, m.purchase_days, m.revenue_minor, m.refunded_minor)
              <> (q.cohort_month, q.orders, q.purchase_days, q.revenue_minor, q.refunded_minor) THEN
    UPDATE SET cohort_month = q.cohort_month, orders = q.orders, purchase_days = q.purchase_days,
               revenue_minor = q.revenue_minor, refunded_minor = q.refunded_minor
WHEN NOT MATCHED THEN
    INSERT (unit_no, month, cohort_month, orders, purchase_days, revenue_minor, refunded_minor)
    VALUES (q.unit_no, q.month, q.cohort_month, q.orders, q.purchase_days, q.revenue_minor, q.refunded_minor)"""

FORGET_MONTHS = """
DELETE FROM customer_months AS m
USING persons AS k JOIN customer_stats AS s ON s.customer_id = k.customer_id
WHERE m.unit_no = s.unit_no
  AND NOT EXISTS (SELECT FROM months AS q WHERE q.unit_no = m.unit_no AND q.month = m.month)"""
FORGET_MONTHS_OF = "DELETE FROM customer_months WHERE unit_no = ANY(:units)"
FORGET_ALL_MONTHS = """
DELETE FROM customer_months AS m
WHERE NOT EXISTS (SELECT FROM months AS q WHERE q.unit_no = m.unit_no AND q.month = m.month)"""
