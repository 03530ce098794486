import csv
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.decide.commands import Award, Purchase, Return, Reverse
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.importing.csvfile import Broken, CsvFile
from rewards.importing.orders import OrderReader
from rewards.importing.running import import_orders
from rewards.ledger.verification import verify
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.versions import publish, starter_program

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
HEADER = "order_id,customer_id,ordered_at,amount"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def history(currency: str = "GBP", timezone: str = "Europe/London") -> ProgramHistory:
    document = starter_program(currency, timezone)
    return ProgramHistory([ProgramVersion(1, document, at("1970-01-01T00:00Z"), NOW, "test")])


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(*lines: str, name: str = "orders.csv", end: str = "\n") -> Path:
        path = tmp_path / name
        path.write_text("".join(line + end for line in lines), encoding="utf-8", newline="")
        return path

    return write


def read(path: Path, programs: ProgramHistory | None = None) -> tuple[list[Any], list[Any]]:
    return OrderReader(CsvFile(path), programs or history()).read()


def codes(rejected: list[Any]) -> list[tuple[int, str]]:
    return [(each.line, each.code) for each in rejected]


# The file as a whole.


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"order_id;customer_id;ordered_at;amount\n", "separated by ';'"),
        (b"order_id,customer_id,amount\n", "has no column ordered_at; its header has order_id, customer_id"),
        (b"order_id,order_id,customer_id,ordered_at,amount\n", "two columns called 'order_id'"),
        (b",order_id,customer_id,ordered_at,amount\n", "column 1 has no name"),
        (
            (HEADER + "\n1,J\xe9r\xf4me,2026-01-01,1\n").encode("latin-1"),
            "line 2 has the byte 0xe9; save it as UTF-8",
        ),
        ((HEADER + "\n").encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ((HEADER + "".join(f",x{number}" for number in range(51))).encode(), "more than 50 columns"),
        ((HEADER + "," + "x" * 65).encode(), "is longer than 64"),
        (b'"order_id\n', "line 1: a quote is opened and not closed"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_clear_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(content)
    with pytest.raises(SetupError) as refused:
        read(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="There is no file"):
        CsvFile(tmp_path / "missing.csv")
    with pytest.raises(SetupError, match="is not a file"):
        CsvFile(tmp_path)
    parquet = tmp_path / "orders.parquet"
    parquet.touch()
    with pytest.raises(SetupError, match="save it as CSV"):
        CsvFile(parquet)


def test_encoding_errors_far_into_a_file_are_found_before_anything_is_imported(
    tmp_path: Path, database: Database
) -> None:
    path = tmp_path / "orders.csv"
    good = b"".join(b"%d,c-1,2026-01-01T10:00:00,1.00\n" % number for number in range(3000))
    path.write_bytes(HEADER.encode() + b"\n" + good + b"x,caf\xe9,2026-01-01,1\n")
    with pytest.raises(SetupError, match=r"line 3002 has the byte 0xe9"):
        import_orders(path, database, now=NOW)
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM entries")) == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_columns_come_in_any_order_with_any_line_ends_and_a_byte_order_mark(write: Any, end: str) -> None:
    path = write(
        "\ufeffCountry, amount ,ordered_at,CUSTOMER_ID,order_id",
        '"United Kingdom, ""UK""",12.5,2026-07-01T10:00:00,c-1,1001',
        "",
        ",,,,",
        end=end,
    )
    orders, rejected = read(path)
    assert rejected == []
    (order,) = orders
    assert (order.order_id, order.customer_id, order.amount_minor, order.line) == ("1001", "c-1", 1250, 2)
    assert order.ordered_at == at("2026-07-01T09:00:00Z")
    reader = OrderReader(CsvFile(path), history())
    assert reader.command(order) == Award(
        customer_id="c-1",
        occurred_at=at("2026-07-01T09:00:00Z"),
        activity=Purchase(
            type="purchase",
            order_id="1001",
            total_minor=1250,
            currency="GBP",
            attributes={"Country": 'United Kingdom, "UK"'},
        ),
    )


# Broken rows.


def test_an_unclosed_quote_costs_its_own_row_only(write: Any) -> None:
    rows = [f"{number},c-1,2026-01-01T10:00:00,1.00" for number in range(4)]
    rows[1] = rows[1].replace("c-1", '"c-1')
    orders, rejected = read(write(HEADER, *rows))
    assert [order.order_id for order in orders] == ["0", "2", "3"]
    assert rejected[0][:2] == (3, "unreadable-row")
    assert "quote is opened and not closed" in rejected[0].reason


def test_a_quote_that_is_closed_by_a_later_one_costs_no_row_between(write: Any) -> None:
    rows = [f"{number},c-1,2026-01-01T10:00:00,1.00" for number in range(6)]
    rows[1] = '"' + rows[1]
    rows[4] = rows[4] + '"'
    orders, rejected = read(write(HEADER, *rows))
    assert [order.order_id for order in orders] == ["0", "2", "3", "5"]
    assert [each.line for each in rejected] == [3, 6]


def test_a_quoted_line_break_is_no_end_of_a_row(write: Any) -> None:
    orders, rejected = read(
        write(HEADER + ",note", '1,c-1,2026-01-01,1,"two\nlines"', "2,c-1,2026-01-01,1,", "3,c-1,bad,1,")
    )
    assert [order.attributes for order in orders] == [("two\nlines",), ("",)]
    assert codes(rejected) == [(5, "invalid-time")]


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ("1,c-1,2026-01-01", "unreadable-row", "it has 3 columns and the header has 7"),
        ("1,c-1,2026-01-01,1,,,,9", "unreadable-row", "it has 8 columns"),
        ('1,"c-1"x,2026-01-01,1,,,', "unreadable-row", "closing quote is followed by text"),
        (",c-1,2026-01-01,1,,,", "invalid-order-id", "order_id is empty"),
        ("1,,2026-01-01,1,,,", "invalid-customer-id", "customer_id is empty"),
        ("1," + "c" * 129 + ",2026-01-01,1,,,", "invalid-customer-id", "at most 128"),
        ("1,c\x01,2026-01-01,1,,,", "invalid-customer-id", "control character"),
        ("1,c-1,,1,,,", "invalid-time", "ordered_at is empty"),
        ("1,c-1,01/02/2026,1,,,", "invalid-time", "write a time like"),
        ("1,c-1,0001-01-01T00:00:00+14:00,1,,,", "invalid-time", "write a time like"),
        ("1,c-1,2026-01-01,,,,", "invalid-amount", "amount is empty"),
        ("1,c-1,2026-01-01,1e3,,,", "invalid-amount", "is not an amount"),
        ("1,c-1,2026-01-01,nan,,,", "invalid-amount", "is not an amount"),
        ("1,c-1,2026-01-01,£5,,,", "invalid-amount", "is not an amount"),
        ('1,c-1,2026-01-01,"1,50",,,', "invalid-amount", "is not an amount"),
        ("1,c-1,2026-01-01,1.005,,,", "invalid-amount", "more decimals than GBP has"),
        ("1,c-1,2026-01-01,90071992547409.93,,,", "invalid-amount", "larger than an amount can be"),
        ("1,c-1,2026-01-01,1,GBp,,", "invalid-currency", "not an ISO 4217 code"),
        ("1,c-1,2026-01-01,1,,maybe,", "invalid-is-return", "write 1 for a return"),
        ("1,c-1,2026-01-01,0,,1,", "invalid-amount", "a return of 0"),
        ("1,c-1,2026-01-01,-1,EUR,,", "currency-mismatch", "the return is in EUR and the program in GBP"),
        ("1,c-1,2026-01-01,1,,," + "x" * 256, "invalid-attribute", "more than 255 characters"),
    ],
)
def test_a_row_that_cannot_be_read_is_rejected_alone(write: Any, row: str, code: str, said: str) -> None:
    path = write(HEADER + ",currency,is_return,note", row, "2,c-1,2026-01-01,1,,,")
    orders, rejected = read(path)
    assert [order.order_id for order in orders] == ["2"]
    assert codes(rejected) == [(2, code)]
    assert said in rejected[0].reason


def test_an_order_id_on_two_rows_counts_once(write: Any) -> None:
    orders, rejected = read(write(HEADER, "1,c-1,2026-01-02,5", "2,c-1,2026-01-01,5", "1,c-2,2026-01-01,7"))
    assert [order.line for order in orders] == [3, 2]
    assert codes(rejected) == [(4, "duplicate-order")]
    assert "is on line 2 already" in rejected[0].reason


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12),
            min_size=3,
            max_size=3,
        )
    )
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_whatever_the_csv_writer_writes_is_read_back(tmp_path_factory: Any, rows: list[list[str]]) -> None:
    out = StringIO(newline="")
    csv.writer(out).writerows([["a", "b", "c"], *rows])
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    found = [record for _, record in CsvFile(path).records()]
    assert not any(isinstance(record, Broken) for record in found)
    assert found == [row for row in rows if any(row)]


@given(st.binary(max_size=300))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused_and_no_line_is_lost(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    path.write_bytes(b"a,b\n" + content)
    try:
        lines = [line for line, _ in CsvFile(path).records()]
    except SetupError:
        return
    assert lines == sorted(set(lines))


# Rows as commands.


def test_times_without_an_offset_are_in_the_zone_of_the_program_in_force(write: Any) -> None:
    programs = ProgramHistory(
        [
            ProgramVersion(1, starter_program("GBP", "Europe/London"), at("1970-01-01T00:00Z"), NOW, "test"),
            ProgramVersion(
                2, starter_program("USD", "America/New_York"), at("2026-06-01T00:00Z"), NOW, "test"
            ),
        ]
    )
    orders, _ = read(
        write(
            HEADER,
            "1,c-1,2026-05-01T12:00,1",
            "2,c-1,2026-07-01 12:00:00,1",
            "3,c-1,2026-07-01T12:00:00Z,1",
            "4,c-1,2026-07-01T12:00:00+05:30,1",
            "5,c-1,2026-05-01,1",
            "6,c-1,2025-10-26T01:30:00,1",
        ),
        programs,
    )
    found = {order.order_id: (f"{order.ordered_at:%m-%dT%H:%M}", order.currency) for order in orders}
    assert found == {
        "1": ("05-01T11:00", "GBP"),
        "2": ("07-01T16:00", "USD"),
        "3": ("07-01T12:00", "USD"),
        "4": ("07-01T06:30", "USD"),
        "5": ("04-30T23:00", "GBP"),
        "6": ("10-26T00:30", "GBP"),  # the first of two
    }


def test_rows_are_taken_in_the_order_of_time_and_returns_last_of_an_instant(write: Any) -> None:
    orders, _ = read(
        write(
            HEADER,
            "3,c,2026-01-03,1",
            "1,c,2026-01-01,1",
            "r,c,2026-01-02,-1",
            "2,c,2026-01-02,1",
            "0,c,2026-01-01,1",
        )
    )
    assert [order.order_id for order in orders] == ["1", "0", "2", "r", "3"]


def test_amounts_are_exact_in_the_rows_currency(write: Any) -> None:
    orders, _ = read(
        write(
            HEADER + ",currency",
            "1,c,2026-01-01,1000,JPY",
            "2,c,2026-01-01,0.07,GBP",
            "3,c,2026-01-01,1.5,KWD",
        )
    )
    assert [order.amount_minor for order in orders] == [1000, 7, 1500]


def test_a_return_is_a_flag_or_a_negative_amount_and_may_name_its_order(write: Any) -> None:
    path = write(
        HEADER + ",is_return,original_order_id",
        "r1,c-1,2026-01-01T00:00Z,-5,,",
        "r2,c-1,2026-01-01T00:00Z,5,1,",
        "r3,c-1,2026-01-01T00:00Z,-5,yes,1001",
        "o1,c-1,2026-01-01T00:00Z,5,no,",
    )
    file = CsvFile(path)
    reader = OrderReader(file, history())
    orders, rejected = reader.read()
    assert rejected == []
    commands = {order.order_id: reader.command(order) for order in orders}
    then = at("2026-01-01T00:00Z")
    assert commands["r1"] == Return(customer_id="c-1", refund_id="r1", occurred_at=then, amount_minor=500)
    assert commands["r2"] == Return(customer_id="c-1", refund_id="r2", occurred_at=then, amount_minor=500)
    assert commands["r3"] == Reverse(
        customer_id="c-1", order_id="1001", refund_id="r3", occurred_at=then, amount_minor=500
    )
    assert isinstance(commands["o1"], Award)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("[", "items is not JSON"),
        ("[" * 60_000, "items is not JSON"),
        ('[{"line_id": "1"}]', "amount_minor"),
        ('{"line_id": "1"}', "list"),
        ('[{"line_id": "1", "amount_minor": 1.5}]', "amount_minor"),
    ],
)
def test_items_that_are_no_items_say_what_is_wrong(write: Any, items: str, said: str) -> None:
    quoted = '"' + items.replace('"', '""') + '"'
    reader = OrderReader(CsvFile(write(HEADER + ",items", f"1,c-1,2026-01-01,5,{quoted}")), history())
    (order,), _ = reader.read()
    with pytest.raises(ValueError, match=said.replace("[", r"\[")):
        reader.command(order)


# The whole way.


def content_of_the_ledger(database: Database) -> list[Any]:
    """Everything that the entries say but for when they were recorded, which the digest covers too."""
    with database.engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    "SELECT customer_id, seq, kind, points, balance_after, occurred_at, cause,"
                    " program_version, actor, note, idempotency_key FROM entries ORDER BY customer_id, seq"
                )
            )
        )


def assert_sound(database: Database) -> None:
    with database.engine.connect() as connection:
        report = verify(connection)
    assert report.ok, report.breaks[:5]


@pytest.fixture
def gbp(database: Database) -> Database:
    with database.engine.begin() as connection:
        document = starter_program("GBP", "Europe/London")
        publish(connection, document, effective_from=at("2000-01-01T00:00Z"), now=NOW, actor="test")
    return database


ROWS = (
    "1,anna,2026-08-01T10:00:00,49.99,GB",
    "2,anna,2026-08-02T10:00:00,20.00,GB",
    "3,ben,2026-08-03T10:00:00,0,FR",
    "r2,anna,2026-08-09T10:00:00,-20.00,GB",
    "r9,ben,2026-08-09T10:00:00,-5,FR",
    "r8,carl,2026-08-09T10:00:00,-5,FR",
    "4,ben,2026-08-10T10:00:00,10.00,FR",
    "r4,ben,2026-08-11T10:00:00,-12.50,FR",
)


def test_orders_are_awarded_and_returns_taken_from_them(write: Any, gbp: Database, tmp_path: Path) -> None:
    errors = tmp_path / "errors.csv"
    path = write(HEADER + ",country", *ROWS, "bad,anna,yesterday,1,GB")
    report = import_orders(path, gbp, now=NOW, errors_path=errors)
    assert (report.rows, report.awarded, report.points) == (9, 4, 79)
    assert (report.returns_matched, report.returns_partly_matched, report.returns_unmatched) == (1, 1, 2)
    assert report.points_clawed_back == 30
    assert (report.already_there, codes(report.rejected)) == (0, [(10, "invalid-time")])
    with gbp.engine.connect() as connection:
        balances = dict(connection.execute(text("SELECT customer_id, balance FROM accounts")).all())
        country = connection.scalar(
            text("SELECT body->'attributes'->>'country' FROM activities WHERE activity_key = 'purchase:1'")
        )
    assert balances == {"anna": 49, "ben": 0}
    assert country == "GB"
    with errors.open(encoding="utf-8", newline="") as file:
        reported = [row[:4] for row in csv.reader(file)]
    assert [row[:2] for row in reported] == [
        ["error_line", "error_code"],
        ["6", "return-not-matched"],
        ["7", "return-not-matched"],
        ["9", "return-partly-matched"],
        ["10", "invalid-time"],
    ]
    assert_sound(gbp)


def test_a_second_import_changes_nothing(write: Any, gbp: Database) -> None:
    path = write(HEADER + ",country", *ROWS)
    import_orders(path, gbp, now=NOW)
    before = content_of_the_ledger(gbp)
    again = import_orders(path, gbp, now=NOW.replace(hour=15))
    assert (again.awarded, again.returns_matched, again.already_there) == (0, 0, 6)
    assert (again.returns_unmatched, again.rejected) == (2, [])
    assert content_of_the_ledger(gbp) == before


def test_a_corrected_errors_file_can_be_imported_as_it_is(write: Any, gbp: Database, tmp_path: Path) -> None:
    errors = tmp_path / "errors.csv"
    path = write(
        HEADER + ",note", "1,c-1,2026-08-01,ten,x", '2,c-1,2026-08-01,5,"a ""note"""', "3,c-1,2030-01-01,7,"
    )
    report = import_orders(path, gbp, now=NOW, errors_path=errors)
    assert codes(report.rejected) == [(2, "invalid-amount"), (4, "occurred-in-future")]
    errors.write_text(
        errors.read_text(encoding="utf-8").replace("ten", "10").replace("2030", "2026"), encoding="utf-8"
    )
    again = import_orders(errors, gbp, now=NOW)
    assert (again.awarded, again.points, again.rejected) == (2, 17, [])
    with gbp.engine.connect() as connection:
        attributes = connection.scalars(
            text("SELECT body->'attributes' FROM activities ORDER BY activity_key")
        ).all()
    assert attributes == [{"note": "x"}, {"note": 'a "note"'}, None]


def test_an_order_that_came_over_the_api_is_there_already(write: Any, gbp: Database) -> None:
    award = Award(
        customer_id="c-1",
        occurred_at=at("2026-08-01T10:00Z"),
        activity=Purchase(type="purchase", order_id="1", total_minor=500, currency="GBP"),
    )
    Engine(gbp).execute([Submission(award, "checkout-1", "key:1")], NOW)
    report = import_orders(write(HEADER, "1,c-1,2026-08-01T10:00Z,5"), gbp, now=NOW)
    assert (report.awarded, report.already_there, report.rejected) == (0, 1, [])


def test_a_row_that_changed_since_it_was_imported_is_rejected(write: Any, gbp: Database) -> None:
    import_orders(write(HEADER, "1,c-1,2026-08-01,5"), gbp, now=NOW)
    report = import_orders(write(HEADER, "1,c-1,2026-08-01,50"), gbp, now=NOW)
    assert codes(report.rejected) == [(2, "idempotency-key-reused")]
    assert "imported before with other content" in report.rejected[0].reason


def test_without_awards_orders_are_recorded_and_earn_nothing(write: Any, gbp: Database) -> None:
    report = import_orders(
        write(HEADER, "1,c-1,2026-08-01,5", "r1,c-1,2026-08-02,-5"), gbp, now=NOW, award=False
    )
    assert (report.awarded, report.points, report.returns_matched, report.points_clawed_back) == (1, 0, 1, 0)
    with gbp.engine.connect() as connection:
        assert connection.scalars(text("SELECT points FROM activities")).all() == [0]
    assert_sound(gbp)


def test_an_interrupted_import_goes_on_where_it_stopped(
    write: Any, gbp: Database, database: Database
) -> None:
    rows = [
        f"{number},c-{number % 50},2026-08-{1 + number % 28:02d}T10:00,{number % 90}.50"
        for number in range(2500)
    ]
    rows += [f"r{number},c-{number % 50},2026-09-01T10:00,-{number % 9}.25" for number in range(200)]
    path = write(HEADER, *rows)

    def stop_at_the_third_chunk(stage: str, done: int, total: int | None) -> None:
        if stage == "Importing" and done == 2000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_orders(path, gbp, now=NOW, progress=stop_at_the_third_chunk)
    report = import_orders(path, gbp, now=NOW)
    assert (report.already_there, report.awarded) == (2000, 500)
    after_both = content_of_the_ledger(gbp)
    again = import_orders(path, gbp, now=NOW)
    assert again.already_there == 2700 - report.returns_unmatched
    assert content_of_the_ledger(gbp) == after_both
    assert_sound(gbp)


def test_an_errors_file_is_written_even_if_empty_and_never_over_the_input(
    write: Any, gbp: Database, tmp_path: Path
) -> None:
    path = write(HEADER, "1,c-1,2026-08-01,5")
    with pytest.raises(SetupError, match="is the file to import"):
        import_orders(path, gbp, now=NOW, errors_path=path)
    with pytest.raises(SetupError, match="cannot be written"):
        import_orders(path, gbp, now=NOW, errors_path=tmp_path / "missing" / "errors.csv")
    with gbp.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM entries")) == 0
    import_orders(path, gbp, now=NOW, errors_path=tmp_path / "errors.csv")
    assert (tmp_path / "errors.csv").read_text(encoding="utf-8").splitlines() == [
        "error_line,error_code,error_reason," + HEADER
    ]
