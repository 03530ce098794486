"""A shop of millions of orders in a database, made by the database itself: too many to send through the engine.

Customers come over two years, buy at rates of their own and leave, so that cohorts, repeat rates and BG/NBD find
something. Only what facts are worked out from is filled: accounts, activities and refunds.
"""

from sqlalchemy import text

from rewards.core.database import Database
from rewards.program.versions import load_history

#: From 2024-01-01 on, so many days.
DAYS = 730
ORDERS_PER_CUSTOMER = 10

# In the order of time, as a shop writes them, so that no query finds customers lying together.
_ACTIVITIES = text("""
INSERT INTO activities (customer_id, activity_key, award_seq, points, program_version, occurred_at, body, grants)
SELECT customer_id, 'purchase:' || order_id, 1, 0, 1, at,
       json_build_object(
           'type', 'purchase', 'order_id', order_id, 'total_minor', amount, 'channel', 'web',
           'currency', CAST(:currency AS text), 'items', json_build_array(json_build_object(
               'line_id', '1', 'sku', 'TEA', 'category', 'drinks', 'quantity', 2, 'amount_minor', amount))),
       '[]'
FROM (
    SELECT 'c-' || lpad(c::text, 8, '0') AS customer_id, 'o-' || c || '-' || n AS order_id,
           TIMESTAMPTZ '2024-01-01' + make_interval(secs => :days * 86400 * least(0.999, start + (1 - start)
               * CASE WHEN n = 1 THEN 0 ELSE random() ^ 1.5 * stays END)) AS at,
           100 + floor(9900 * random())::bigint AS amount
    FROM (
        SELECT c, (c::float8 / :customers) * 0.95 AS start, 0.2 + 0.8 * random() AS stays,
               1 + floor(-ln(1 - random()) * (:per_customer - 0.5))::int AS orders
        FROM generate_series(1, :customers) AS c
    ) AS customers, LATERAL generate_series(1, orders) AS n
) AS orders
ORDER BY at""")

_REFUNDS = text("""
INSERT INTO reversals (customer_id, order_id, refund_id, reversal_seq, amount_minor, lines, by_grant, clawed_back,
                       written_off, reinstated, occurred_at, recorded_at)
SELECT customer_id, substr(activity_key, 10), 'r', 2, (body ->> 'total_minor')::bigint / (1 + (random() * 2)::int),
       '{}', '[]', 0, 0, 0, occurred_at, occurred_at
FROM activities WHERE random() < 0.03""")

_ACCOUNTS = text("""
INSERT INTO accounts (customer_id, joined_at, last_activity_at)
SELECT customer_id, min(occurred_at), max(occurred_at) FROM activities GROUP BY customer_id ORDER BY 1""")


def fill(database: Database, orders: int) -> None:
    """Fill an empty shop with about so many orders of a tenth as many customers."""
    customers = orders // ORDERS_PER_CUSTOMER
    with database.engine.begin() as conn:
        conn.execute(text("SELECT setseed(0.42)"))
        conn.execute(text("SET LOCAL work_mem = '256MB'"))
        about = {"customers": customers, "days": DAYS, "per_customer": ORDERS_PER_CUSTOMER}
        currency = load_history(conn).latest.document.currency
        conn.execute(_ACTIVITIES, about | {"currency": currency})
        conn.execute(_REFUNDS)
        conn.execute(_ACCOUNTS)
    with database.engine.connect() as conn:
        plain = conn.execution_options(isolation_level="AUTOCOMMIT")
        plain.execute(text("VACUUM (ANALYZE) accounts, activities, reversals"))
