"""Profiles: what the shop says of a customer, which can be erased; and how admins find customers and commands.

What customers wrote stands in the bodies of ``activities``, which are append-only. An erasure on record lets the
words of that one customer's bodies be replaced by ``*``, and nothing else of them: a trigger sees to it. Digests
do not cover bodies, so the ledger's history stays as it is.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The same members, each as it was or the text that stands for words that are gone.
_STARRED = """
CREATE FUNCTION is_starred(before jsonb, after jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT before IS NOT DISTINCT FROM after OR (
        jsonb_typeof(before) = 'object' AND jsonb_typeof(after) = 'object' AND NOT EXISTS (
            SELECT FROM jsonb_each(before) AS b FULL JOIN jsonb_each(after) AS a USING (key)
            WHERE a.value IS DISTINCT FROM b.value
              AND (b.value IS NULL OR a.value IS DISTINCT FROM '"*"'::jsonb)
        )
    )
$$"""

_REDACTION = """
CREATE FUNCTION is_redaction(before jsonb, after jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT before - '{fingerprints,comment,answers,attributes,items}'::text[]
             = after - '{fingerprints,comment,answers,attributes,items}'::text[]
       AND (after -> 'fingerprints' IS NULL OR after -> 'fingerprints' = before -> 'fingerprints')
       AND (after -> 'comment' IS NOT DISTINCT FROM before -> 'comment'
            OR (before ? 'comment' AND after -> 'comment' = '"*"'::jsonb))
       AND is_starred(before -> 'answers', after -> 'answers')
       AND is_starred(before -> 'attributes', after -> 'attributes')
       AND (before ? 'items') = (after ? 'items')
       AND (before -> 'items' IS NOT DISTINCT FROM after -> 'items' OR NOT EXISTS (
            SELECT FROM jsonb_array_elements(before -> 'items') WITH ORDINALITY AS b (item, place)
            FULL JOIN jsonb_array_elements(after -> 'items') WITH ORDINALITY AS a (item, place) USING (place)
            WHERE (a.item - 'attributes') IS DISTINCT FROM (b.item - 'attributes')
               OR NOT is_starred(b.item -> 'attributes', a.item -> 'attributes')
       ))
$$"""

_REFUSE_ALL_BUT_REDACTION = """
CREATE FUNCTION refuse_all_but_redaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM erasures WHERE customer_id = OLD.customer_id)
       OR is_redaction(OLD.body::jsonb, NEW.body::jsonb) IS NOT TRUE THEN
        RAISE EXCEPTION 'table "%" is append-only: % is refused', TG_TABLE_NAME, TG_OP
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Only the words of a customer whose erasure is on record may be taken out.';
    END IF;
    RETURN NEW;
END
$$"""


def upgrade() -> None:
    op.create_table(
        "profiles",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("birthday", sa.Text(), nullable=True),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("email_key", sa.Text(collation="C"), nullable=True),
        sa.Column("name_key", sa.Text(collation="C"), nullable=True),
        sa.Column("surname_key", sa.Text(collation="C"), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("links_void_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "birthday ~ '^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$'", name=op.f("ck_profiles_birthday_is_a_day")
        ),
        sa.CheckConstraint(
            "erased_at IS NULL OR (email IS NULL AND name IS NULL AND birthday IS NULL AND joined_at IS NULL"
            " AND email_key IS NULL AND name_key IS NULL AND surname_key IS NULL)",
            name=op.f("ck_profiles_erased_is_empty"),
        ),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_profiles")),
    )
    op.create_index("ix_profiles_email_key", "profiles", ["email_key"])
    op.create_index("ix_profiles_name_key", "profiles", ["name_key", "customer_id"])
    op.create_index("ix_profiles_surname_key", "profiles", ["surname_key"])
    op.create_index(
        "ix_profiles_day_of_birth",
        "profiles",
        [sa.text('"right"(birthday, 5)'), "customer_id"],
        postgresql_where=sa.text("birthday IS NOT NULL"),
    )
    op.create_table(
        "erasures",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "erased_at", name=op.f("pk_erasures")),
    )
    # As for the other append-only tables; see 0002.
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON erasures FROM PUBLIC, CURRENT_USER")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON erasures"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for function in (_STARRED, _REDACTION, _REFUSE_ALL_BUT_REDACTION):
        op.execute(function)
    columns = sa.inspect(op.get_bind()).get_columns("activities")
    fixed = [column["name"] for column in columns if column["name"] != "body"]
    op.execute("DROP TRIGGER append_only ON activities")
    op.execute(
        f"CREATE TRIGGER append_only BEFORE UPDATE OF {', '.join(fixed)} OR DELETE OR TRUNCATE ON activities"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER redaction_only BEFORE UPDATE OF body ON activities"
        " FOR EACH ROW EXECUTE FUNCTION refuse_all_but_redaction()"
    )
    op.execute("GRANT UPDATE (body) ON activities TO CURRENT_USER")
    _index_for_admins()


def _index_for_admins() -> None:
    """Add the indexes by which the admin pages find customers by tag, and commands by time."""
    op.create_index(
        "ix_accounts_tags",
        "accounts",
        ["tags"],
        postgresql_using="gin",
        postgresql_where=sa.text("tags <> '{}'"),
    )
    op.create_index(
        "ix_accounts_tagged", "accounts", ["customer_id"], postgresql_where=sa.text("tags <> '{}'")
    )
    op.create_index(
        "ix_commands_recorded_at",
        "commands",
        ["recorded_at"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": "32", "autosummarize": "on"},
    )
    op.create_index(
        "ix_commands_not_awards",
        "commands",
        ["recorded_at"],
        postgresql_where=sa.text("kind <> 'award'"),
    )
    op.create_index(
        "ix_commands_refused", "commands", ["recorded_at"], postgresql_where=sa.text("status >= 400")
    )


def downgrade() -> None:
    for index in ("ix_commands_refused", "ix_commands_not_awards", "ix_commands_recorded_at"):
        op.drop_index(index, table_name="commands")
    for index in ("ix_accounts_tagged", "ix_accounts_tags"):
        op.drop_index(index, table_name="accounts")
    op.execute("REVOKE UPDATE (body) ON activities FROM CURRENT_USER")
    op.execute("DROP TRIGGER redaction_only ON activities")
    op.execute("DROP TRIGGER append_only ON activities")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON activities"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute("DROP FUNCTION refuse_all_but_redaction()")
    op.execute("DROP FUNCTION is_redaction(jsonb, jsonb)")
    op.execute("DROP FUNCTION is_starred(jsonb, jsonb)")
    op.execute("GRANT UPDATE, DELETE, TRUNCATE ON erasures TO CURRENT_USER")
    op.drop_table("erasures")
    op.drop_table("profiles")
