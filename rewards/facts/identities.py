"""Who is who: that two of the shop's ids are one person, for measurement alone.

Somebody who ordered as a guest and later with an account is counted twice, as two who never came back. Telling that
they are one changes no balance and no tier: the ledger knows ids, not persons.
"""

from datetime import datetime

from sqlalchemy import Connection, text

from rewards.core.errors import CustomerNotFound, IdentityLoop

#: Changes wait for each other ("IDEN" in ASCII), so that two of them together cannot make a chain.
_LOCK = 0x4944_454E

_KNOWN = text("SELECT customer_id FROM accounts WHERE customer_id = ANY(:customers)")
_READ = text("SELECT same_as FROM identities WHERE customer_id = :customer_id")
_BOTH = text("SELECT customer_id FROM identities WHERE same_as = :customer_id")

# Who has a new row here is worked out anew by the next refresh, also where the row says what it said before.
_PUT = text("""
INSERT INTO identities AS i (customer_id, same_as, changed_at, actor)
SELECT customer_id, :same_as, :now, :actor FROM unnest(CAST(:customers AS varchar[])) AS customer_id
ON CONFLICT (customer_id) DO UPDATE SET same_as = excluded.same_as, changed_at = excluded.changed_at,
    actor = excluded.actor, xact = DEFAULT""")
_TOUCH = text("""
INSERT INTO identities AS i (customer_id, same_as, changed_at, actor) VALUES (:customer_id, NULL, :now, :actor)
ON CONFLICT (customer_id) DO UPDATE SET xact = DEFAULT""")


def read_identity(conn: Connection, customer_id: str) -> str | None:
    """Return whom a customer is the same person as; None where it stands for itself."""
    found = conn.execute(_READ, {"customer_id": customer_id}).scalar_one_or_none()
    return None if found is None else str(found)


def set_identity(
    conn: Connection, customer_id: str, same_as: str | None, *, actor: str, now: datetime
) -> str | None:
    """Say that a customer is the same person as another one, or with None that it stands for itself again.

    Who was the same as ``customer_id`` becomes the same as ``same_as`` too, and where that one is itself the same as a
    third, the third is meant. Taken back, only ``customer_id`` parts from the others.

    Returns:
        Whom it is the same as from now on.

    Raises:
        CustomerNotFound: one of the two is not known.
        IdentityLoop: they are one already, the other way round.
    """
    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    _check_known(conn, [customer_id] if same_as is None else [customer_id, same_as])
    if same_as is not None:
        same_as = read_identity(conn, same_as) or same_as
        if same_as == customer_id:
            raise IdentityLoop(
                f"Customer {customer_id} cannot be the same as itself, nor as who is the same as it already; "
                "take that back first, with same_as: null."
            )
    before = read_identity(conn, customer_id)
    if before == same_as:
        return same_as
    told = {"now": now, "actor": actor}
    moved = [customer_id]
    if same_as is not None:
        moved += conn.execute(_BOTH, {"customer_id": customer_id}).scalars()
    conn.execute(_PUT, told | {"customers": moved, "same_as": same_as})
    if before is not None:
        work_out_again(conn, before, actor=actor, now=now)
    return same_as


def work_out_again(conn: Connection, customer_id: str, *, actor: str, now: datetime) -> None:
    """Have the next refresh work out a customer's facts anew, though no command says that they have changed."""
    conn.execute(_TOUCH, {"customer_id": customer_id, "actor": actor, "now": now})


def _check_known(conn: Connection, customers: list[str]) -> None:
    known = set(conn.execute(_KNOWN, {"customers": customers}).scalars())
    for customer_id in customers:
        if customer_id not in known:
            raise CustomerNotFound(f"There is no customer {customer_id!r}; award something first.")
