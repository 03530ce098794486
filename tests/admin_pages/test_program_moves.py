"""Who would move by a draft, over HTTP: previewed, listed, published as it was, and seen to come about."""

import csv
import time
from datetime import timedelta
from typing import Any

from office import Browser, Office
from program_office import DRAFT, page, publish_program, save, text_of
from sqlalchemy import text

from rewards.applying.progress import latest_application
from rewards.core.clock import utc_now
from rewards.decide.commands import Award, Purchase
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.ledger.verification import verify

PUBLISH = "/admin/program/publish"


def buy(office: Office, customer_id: str, pounds: int, order: str = "1") -> None:
    activity = Purchase(type="purchase", order_id=order, total_minor=pounds * 100, currency="GBP")
    command = Award(customer_id=customer_id, activity=activity, occurred_at=utc_now() - timedelta(days=2))
    [answer] = Engine(office.database).execute([Submission(command, f"k{order}", "test")], utc_now())
    assert answer.status == 201, answer.body


def previewed(browser: Browser) -> Any:
    answer = browser.follow(browser.send(page(browser, "preview"), "draft/preview"))
    for _ in range(400):
        answer = browser.get(answer.url.path)
        if "data-poll" not in answer.text:
            return answer
        time.sleep(0.05)
    raise AssertionError("the preview never ended")


def raise_silver(browser: Browser, pounds: str = "700") -> None:
    save(browser, "ladder/tiers/1", **{"d.ladder.tiers.1.ways_in.0.spend_minor": pounds})


def wait_until_applied(office: Office) -> None:
    for _ in range(600):
        with office.database.engine.connect() as connection:
            application = latest_application(connection)
        if application is not None and application.state == "done":
            return
        time.sleep(0.05)
    raise AssertionError("nobody was brought up")


def tiers(office: Office) -> dict[str, str]:
    with office.database.engine.connect() as connection:
        return {
            row.customer_id: row.tier
            for row in connection.execute(text("SELECT customer_id, tier FROM accounts"))
        }


def test_who_moves_is_shown_listed_and_published(office: Office) -> None:
    publish_program(office, 30)
    for customer_id, pounds in (("ann", 600), ("bob", 20), ("=cy", 800)):
        buy(office, customer_id, pounds)
    assert tiers(office) == {"ann": "silver", "bob": "bronze", "=cy": "silver"}
    with office.browser("editor") as browser:
        save(browser, "ladder/tiers/1", **{"d.ladder.tiers.1.ways_in.1.points": "1000"})
        raise_silver(browser)
        assert "Nobody has previewed that for the draft as it is now." in browser.get(PUBLISH).text
        shown = previewed(browser)
        assert "1 of 3 customers would move if it were published now." in shown.text
        assert '<figure class="chart"><figcaption>Customers by tier' in shown.text
        listed = browser.get(f"{shown.url.path}/moves")
        assert "ann" in listed.text
        assert "bob" not in listed.text
        assert "Silver → Bronze (1)" in listed.text
        assert "ann" in browser.get(f"{shown.url.path}/moves?step=0").text
        assert browser.get(f"{DRAFT}/preview/none/moves").status_code == 404
        file = browser.get(f"{shown.url.path}/moves.csv")
        assert list(csv.reader(file.text.splitlines())) == [
            ["customer_id", "from", "to", "until"],
            ["ann", "silver", "bronze", ""],
        ]
        assert browser.get(f"{DRAFT}/preview/none/moves.csv").status_code == 404
        publishing = browser.get(PUBLISH)
        assert "1 of 3 customers would move, 0 up and 1 down." in text_of(publishing)
        done = browser.follow(browser.send(publishing, "program/publish", note="Dearer"))
        assert "is published, in force now." in done.text
        wait_until_applied(office)
        assert tiers(office) == {"ann": "bronze", "bob": "bronze", "=cy": "silver"}
        for address in ("/admin/program", str(done.url.path)):
            told = text_of(browser.get(address))
            assert "All customers are brought up to the ladder; 1 came into another tier." in told
            assert "Each moved as was previewed." in told
    with office.database.engine.connect() as connection:
        assert verify(connection).ok


def test_what_is_no_longer_as_previewed_is_not_published(office: Office) -> None:
    publish_program(office, 30)
    buy(office, "ann", 600)
    with office.browser("editor") as browser:
        save(browser, "ladder/tiers/1", **{"d.ladder.tiers.1.ways_in.1.points": "1000"})
        raise_silver(browser)
        previewed(browser)
        publishing = browser.get(PUBLISH)
        buy(office, "ann", 500, "2")
        refused = browser.send(publishing, "program/publish", note="Dearer")
        assert refused.status_code == 409
        assert "1 customer would now move otherwise than was previewed; 0 would move now." in text_of(refused)
        assert 'name="note"' in refused.text
        assert "Dearer" in refused.text
        assert "0 of 1 customers would move" in text_of(previewed(browser)) or "None of 1" in text_of(
            previewed(browser)
        )
        done = browser.follow(browser.send(browser.get(PUBLISH), "program/publish", note="Dearer"))
        assert "is published, in force now." in done.text


def test_a_draft_of_a_later_day_is_published_by_the_preview_of_today(office: Office) -> None:
    publish_program(office, 30)
    buy(office, "ann", 600)
    with office.browser("editor") as browser:
        save(browser, "ladder/tiers/1", **{"d.ladder.tiers.1.ways_in.1.points": "1000"})
        raise_silver(browser)
        previewed(browser)
        moment = (utc_now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
        done = browser.follow(
            browser.send(browser.get(PUBLISH), "program/publish", note="Dearer", when="later", moment=moment)
        )
        assert "is published, in force from" in done.text
        assert "Customers are brought up to the ladder when it is in force." in done.text
        assert "data-poll" not in done.text
    assert tiers(office) == {"ann": "silver"}


def test_a_draft_without_a_ladder_says_nothing_of_tiers(office: Office) -> None:
    publish_program(office, 30, ladder=None)
    buy(office, "ann", 600)
    with office.browser("editor") as browser:
        save(browser, "earn/0", **{"d.earn.0.gives.points": "2"})
        shown = previewed(browser)
        assert "Who moves tier" not in shown.text
        assert "Who moves tier" not in browser.get(PUBLISH).text
