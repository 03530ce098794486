import csv
import io
import re
from datetime import UTC, datetime, timedelta

from office import Browser, Office, forms

from rewards.admins.audit import record

NOW = datetime(2026, 10, 25, 12, 0, tzinfo=UTC)


def fill(office: Office, number: int) -> None:
    admin = office.admins["editor"]
    with office.database.engine.begin() as connection:
        for each in range(number):
            at = NOW + timedelta(hours=each)
            record(
                connection,
                admin=admin,
                action="customer.adjusted",
                subject=f"customer:c-{each}",
                detail={"points": each},
                now=at,
            )


def subjects(text: str) -> list[int]:
    return [int(number) for number in re.findall(r">customer:c-(\d+)</a>", text)]


def test_turns_over_its_pages(office: Office, owner: Browser) -> None:
    fill(office, 120)
    page, seen = owner.get("/admin/audit?action=customer.adjusted"), []
    while True:
        seen += subjects(page.text)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        if following is None:
            break
        page = owner.get("/admin/audit" + following[1].replace("&amp;", "&"))
        assert 'rel="prev"' in page.text
    assert seen == list(reversed(range(120)))


def test_filters_by_person_action_subject_and_day(office: Office, owner: Browser) -> None:
    fill(office, 60)

    def shown(**asked: str) -> list[int]:
        return subjects(owner.get("/admin/audit", params=asked).text)

    assert len(shown(who="editor@shop.test")) == 50
    assert shown(who="owner@shop.test") == []
    assert shown(subject="c-7") == shown(subject="customer:c-7") == [7]
    assert shown(since="2026-10-27") == list(reversed(range(36, 60)))
    # The day that is named is wanted whole.
    assert shown(since="2026-10-27", until="2026-10-27") == list(reversed(range(36, 60)))
    assert shown(until="2026-10-25") == list(reversed(range(12)))
    for nonsense in ("2026-13-01", "0001-01-01", "9999-12-31", "yesterday"):
        assert (
            owner.get(
                "/admin/audit", params={"since": nonsense, "until": nonsense, "before": nonsense}
            ).status_code
            == 200
        )
    assert (
        "Nothing of that kind was recorded." in owner.get("/admin/audit", params={"action": "no.such"}).text
    )


def test_is_told_as_a_file(office: Office, owner: Browser) -> None:
    fill(office, 1200)
    with office.database.engine.begin() as connection:
        record(
            connection, admin=None, action="sign-in.slowed", subject="=HYPERLINK(1)", now=NOW, who="@SUM(1)"
        )
    answer = owner.get("/admin/audit.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r"attachment; filename=audit-\d{4}-\d\d-\d\d\.csv", answer.headers["content-disposition"]
    )
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    # A spreadsheet may part cells at semicolons: within quotes it does not.
    assert answer.text.splitlines()[1].endswith(',"\'=HYPERLINK(1)",""')
    assert len(rows) == 1200 + 1 + 1
    assert rows[0]["who"] == "'@SUM(1)"
    assert rows[0]["subject"] == "'=HYPERLINK(1)"
    assert rows[1]["detail"] == '{"points": 1199}'
    assert rows[-2]["at"] == "2026-10-25T12:00:00.000Z"
    filtered = owner.get("/admin/audit.csv", params={"subject": "c-7"})
    assert [row["subject"] for row in csv.DictReader(io.StringIO(filtered.text))] == ["customer:c-7"]


def test_everybody_may_look(office: Office) -> None:
    with office.browser("viewer") as viewer:
        page = viewer.get("/admin/audit")
        assert page.status_code == 200
        assert [form.method for form in forms(page)] == ["post", "get"]
        assert viewer.get("/admin/audit.csv").status_code == 200
