import json
import sys
from pathlib import Path
from typing import Any

import pytest
from facts_model import Model
from metric_database import NOW, load_shop, rows

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.facts.parquet import EXPORTS, export_parquet
from rewards.facts.refresh import refresh
from rewards.facts.scale import open_duckdb, query_facts
from rewards.facts.state import FactsMissing

ZONE = "Pacific/Auckland"


@pytest.fixture
def shop(database: Database) -> Database:
    load_shop(database, zone=ZONE)
    Model(database, ZONE, 7).live(150)
    refresh(database, NOW)
    return database


def test_every_month_is_a_partition_and_nothing_is_lost(shop: Database, tmp_path: Path) -> None:
    import duckdb

    folder = tmp_path / "export"
    counts = export_parquet(shop, folder, NOW)
    assert set(counts) == set(EXPORTS)
    with duckdb.connect() as duck, shop.engine.connect() as connection:

        def both(parquet: str, sql: str) -> None:
            read = duck.execute(parquet.replace("FILES", f"read_parquet('{folder}/")).fetchall()
            stored = rows(connection, sql)
            assert sorted(map(repr, read)) == sorted(map(repr, stored))
            assert stored

        both(
            "SELECT customer_id, order_id, day, month, amount_minor, refunded_minor, status,"
            " epoch_us(ordered_at) FROM FILESpurchases/*/*.parquet', hive_partitioning = true, hive_types = {'month': VARCHAR})",
            "SELECT customer_id, order_id, day, to_char(day, 'YYYY-MM'), amount_minor, refunded_minor, status,"
            " (extract(epoch FROM ordered_at) * 1000000)::bigint FROM purchases",
        )
        both(
            "SELECT customer_id, seq, kind, points, month FROM FILESentries/*/*.parquet', hive_partitioning = true,"
            " hive_types = {'month': VARCHAR})",
            f"SELECT customer_id, seq, kind, points, to_char(occurred_at AT TIME ZONE '{ZONE}', 'YYYY-MM') FROM entries",
        )
        both(
            "SELECT person_id, orders, purchase_days, revenue_minor, first_day, excluded FROM FILEScustomer_stats/*.parquet')",
            "SELECT customer_id, orders, purchase_days, revenue_minor, first_day, excluded FROM customer_stats",
        )
        both(
            "SELECT person_id, first_of_month, cohort_month, orders FROM FILEScustomer_months/*/*.parquet')",
            "SELECT customer_id, month, m.cohort_month, m.orders FROM customer_months m JOIN customer_stats USING (unit_no)",
        )
        stored = {
            name: rows(connection, f"SELECT count(*) FROM {name}")[0][0]
            for name in counts
            if name != "identities"
        }
    assert {name: counts[name] for name in stored} == stored
    months = {each.name for each in (folder / "purchases").iterdir()}
    assert len(months) > 12
    assert all(each.startswith("month=20") for each in months)
    told = json.loads((folder / "manifest.json").read_text())
    assert (told["rows"], told["zone"], told["generation"]) == (counts, ZONE, 2)
    assert not (folder / ".partial").exists()


def test_an_export_takes_the_place_of_an_earlier_one_and_of_nothing_else(
    shop: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    first = export_parquet(shop, folder, NOW)
    (folder / "purchases" / "month=1999-01").mkdir()
    (folder / "mine.txt").write_text("kept")
    assert export_parquet(shop, folder, NOW) == first
    assert not (folder / "purchases" / "month=1999-01").exists()
    assert (folder / "mine.txt").read_text() == "kept"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").touch()
    with pytest.raises(SetupError, match="holds something else"):
        export_parquet(shop, other, NOW)
    with pytest.raises(SetupError, match="is not a folder"):
        export_parquet(shop, other / "thesis.txt", NOW)


def test_an_export_that_was_cut_short_is_begun_again(shop: Database, tmp_path: Path) -> None:
    folder = tmp_path / "export"

    def stop(stage: str, done: int, total: int | None) -> None:
        if stage == "customer_months":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_parquet(shop, folder, NOW, stop)
    assert [each.name for each in folder.iterdir()] == [".partial"]
    assert export_parquet(shop, folder, NOW)["purchases"] > 50


def test_a_shop_without_orders_has_the_columns_still(database: Database, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    with pytest.raises(FactsMissing):
        export_parquet(database, tmp_path / "export", NOW)
    refresh(database, NOW)
    assert set(export_parquet(database, tmp_path / "export", NOW).values()) == {0}
    assert "amount_minor" in pq.read_schema(tmp_path / "export" / "purchases" / "part-0.parquet").names


def test_duckdb_answers_over_the_facts(shop: Database) -> None:
    question = """SELECT cohort_month, month, count(*) AS buyers, sum(revenue_minor)::bigint AS revenue
                  FROM customer_months GROUP BY ALL ORDER BY ALL"""
    headings, found = query_facts(shop, question)
    with shop.engine.connect() as connection:
        assert found == rows(
            connection, question.replace("GROUP BY ALL ORDER BY ALL", "GROUP BY 1, 2 ORDER BY 1, 2")
        )
        counted = "SELECT sum(orders)::bigint FROM customer_stats WHERE NOT excluded"
        assert query_facts(shop, "SELECT count(*) FROM purchases")[1] == rows(connection, counted)
    assert headings == ["cohort_month", "month", "buyers", "revenue"]
    with pytest.raises(SetupError, match="DuckDB cannot answer that"):
        query_facts(shop, "SELECT nothing FROM purchases")
    with pytest.raises(SetupError, match="DuckDB cannot answer that"):
        query_facts(shop, "SELECT * FROM read_csv('/etc/passwd')")
    with open_duckdb(shop) as duck:
        assert {name for (name,) in duck.execute("SHOW TABLES").fetchall()} == {
            "purchases",
            "customer_stats",
            "customer_months",
        }


def test_without_the_extra_it_says_what_to_install(
    shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(SetupError, match=r"pip install 'rewards-engine\[scale\]'"):
        export_parquet(shop, tmp_path / "export", NOW)
    assert not (tmp_path / "export").exists()


def test_the_commands(shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from rewards.cli import app

    assert shop.settings.database_url is not None
    monkeypatch.setenv("REWARDS_DATABASE_URL", shop.settings.database_url.get_secret_value())
    asked: Any = CliRunner().invoke(app, ["facts", "query", "SELECT 1 AS one, 'a,b' AS two"])
    assert asked.stdout == 'one,two\n1,"a,b"\n'
    exported: Any = CliRunner().invoke(app, ["export", "parquet", str(tmp_path / "export")])
    assert exported.exit_code == 0, exported.output
    assert "purchases" in exported.stdout


GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "parquet.md").read_text(encoding="utf-8")


def test_the_guides_questions_can_be_asked(shop: Database, tmp_path: Path) -> None:
    import duckdb

    folder = tmp_path / "export"
    export_parquet(shop, folder, NOW)
    told = GUIDE.split("```\n/data")[1].split("```")[0]
    assert {each.split("/")[0] for each in ("/data" + told).replace("/data/rewards/", "").split()} == {
        each.name for each in folder.iterdir()
    }
    with duckdb.connect() as duck, shop.engine.connect() as connection:
        query = GUIDE.split("```sql")[1].split("```")[0].replace("/data/rewards", str(folder))
        stored = """SELECT to_char(month, 'YYYY-MM'), sum(orders)::bigint, sum(revenue_minor)::bigint
                    FROM customer_months WHERE month >= '2026-01-01' GROUP BY 1 ORDER BY 1"""
        assert duck.execute(query).fetchall() == rows(connection, stored)
        question = GUIDE.split('rewards facts query "')[1].split('"')[0]
        net = "SELECT sum(revenue_minor - refunded_minor)::bigint FROM customer_stats WHERE NOT excluded"
        _, answer = query_facts(shop, question)
        assert sum(each[2] for each in answer) == rows(connection, net)[0][0]
