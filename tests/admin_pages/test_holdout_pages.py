"""The holdout in the admin pages: put in by a form, published, kept from being drawn anew, and told of a customer."""

from typing import Any

from office import Office
from program_office import draft_data, has_form, newest, page, publish_program, save, text_of

from rewards.core.clock import utc_now
from rewards.decide.commands import Award
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.program.holdout import arm_of

PUBLISH = "/admin/program/publish"
SALT = "a-salt-of-the-tests"
FIELDS = {
    "d.holdout.id": "spring",
    "d.holdout.salt": SALT,
    "d.holdout.share_pct": "50",
    "d.holdout.starts_at": "2026-01-01",
}


def publish_it(browser: Any, **values: Any) -> Any:
    form = browser.get(PUBLISH)
    return browser.follow(browser.send(form, "program/publish", **{"note": "Because", **values}))


def test_a_holdout_is_put_in_published_and_kept(office: Office) -> None:
    publish_program(office, days=400)
    with office.browser("editor") as browser:
        assert "Customers who are kept out of the program" in text_of(page(browser, "holdout"))
        save(browser, "basics", d__no_holdout="")
        assert "nobody is held out, so what the program changes" in text_of(page(browser, "holdout")).lower()
        save(browser, "holdout", do="put:d.holdout")
        wrong = save(browser, "holdout", **{**FIELDS, "d.holdout.share_pct": "a fifth"})
        assert "&#39;a fifth&#39; is not a number" in wrong.text or "'a fifth' is not a number" in text_of(
            wrong
        )
        save(browser, "holdout", **FIELDS)
        assert draft_data(office)["holdout"] == {
            "id": "spring",
            "salt": SALT,
            "share_pct": 50.0,
            "starts_at": "2026-01-01",
        }
        published = publish_it(browser)
        assert "is published, in force now." in published.text
        made = newest(office)
        assert made.holdout is not None
        assert (made.holdout.share_pct, made.no_holdout) == (50.0, None)
        # Lots that were drawn stay; the page says so where they would be drawn anew.
        save(browser, "holdout", **{"d.holdout.share_pct": "20"})
        shown = text_of(page(browser, "holdout"))
        assert "would move customers from one arm to the other" in shown
        assert not has_form(browser.get(PUBLISH), "program/publish")
        assert newest(office) == made


def test_a_customers_page_says_who_is_held_out(office: Office) -> None:
    publish_program(office, days=400, no_holdout=None, holdout=held())
    out = next(f"c-{number}" for number in range(50) if arm_of(SALT, f"c-{number}", 50) == "holdout")
    inside = next(f"c-{number}" for number in range(50) if arm_of(SALT, f"c-{number}", 50) == "program")
    for who in (out, inside):
        activity = {"type": "purchase", "order_id": who, "total_minor": 5_000, "currency": "GBP"}
        award = Award.model_validate({"customer_id": who, "activity": activity})
        Engine(office.database).execute([Submission(award, who, "test")], utc_now())
    with office.browser("support") as browser:
        shown = text_of(browser.get(f"/admin/customers/{out}"))
        assert "held out" in shown
        assert "to measure its effect (spring)" in shown
        assert "Held out of the program, so it earned nothing" in shown
        assert "make it less comparable" in shown
        shown = text_of(browser.get(f"/admin/customers/{inside}"))
        assert "Yes, compared with who is held out (spring)" in shown
        assert "less comparable" not in shown


def held() -> dict[str, Any]:
    return {"id": "spring", "salt": SALT, "share_pct": 50, "starts_at": "2026-01-01"}
