"""The draft's pages over HTTP: what is typed is kept, right or wrong, and nobody overwrites what they have not seen."""

import json
from typing import Any

import pytest
from office import Browser, Office, forms
from program_office import (
    DRAFT,
    EARN,
    draft,
    draft_data,
    has_form,
    newest,
    page,
    publish_program,
    save,
    text_of,
)
from test_signing_in import expire_sessions

PARTS = (
    "basics", "base_amount", "earn", "earn/0", "caps", "points", "redemption", "refunds", "surveys", "surveys/0",
    "referrals", "ladder", "ladder/tiers/1", "yaml", "preview",
)  # fmt: skip


def check(browser: Browser, shown: Any, **values: Any) -> Any:
    """What the page's script sends while somebody types."""
    form = next(form for form in forms(shown) if "_part" in form.fields)
    values = {name.replace("__", "."): value for name, value in values.items()}
    headers = {"x-requested-with": "fetch", "sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}
    return browser.client.post(f"{DRAFT}/check", data={**form.fields, **values}, headers=headers)


@pytest.mark.parametrize("role", ["viewer", "support"])
def test_who_may_not_edit_looks_and_has_no_buttons(office: Office, role: Any) -> None:
    publish_program(office)
    with office.browser(role) as browser:
        for part in PARTS:
            shown = page(browser, part)
            assert "Save in the draft" not in shown.text
            assert 'name="do" value="add' not in shown.text
        shown = page(browser, "earn/0")
        assert browser.send(shown, "draft/earn/0", do="save", **{"d.earn.0.id": "mine"}).status_code == 403
        assert check(browser, shown).status_code == 403
        token = {"csrf": browser.token}
        for address in ("yaml", "yaml/check", "discard", "preview", "earn"):
            assert browser.client.post(f"{DRAFT}/{address}", data=token).status_code == 403
        for address in ("publish", "publish/rebase", "versions/1/restore"):
            assert browser.client.post(f"/admin/program/{address}", data=token).status_code == 403
    assert draft(office) is None


def test_looking_and_saving_nothing_make_no_draft(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        for part in PARTS[:-2]:
            answer = save(browser, part)
            assert "Nothing was changed." in answer.text, part
            assert "no draft" in answer.text
    assert draft(office) is None
    assert [each.action for each in office.audit(action="draft.edited")] == []


def test_a_part_is_edited_and_all_else_stays(office: Office) -> None:
    version = publish_program(office)
    with office.browser("editor") as browser:
        answer = save(browser, "earn/0", d__earn__0__gives__per_minor="2.50", d__earn__0__name="Every order")
        assert "Saved in the draft." in answer.text
        assert answer.url.path == f"{DRAFT}/earn/0"
        save(browser, "points", d__points__pending="1 month")
        save(browser, "ladder/tiers/1", **{"d.ladder.tiers.1.ways_in.0.spend_minor": "750"})
        assert "750.00" in page(browser, "ladder/tiers/1").text
    found = draft(office)
    assert found is not None
    assert (found.based_on, found.updated_by) == (version, office.admins["editor"].actor)
    data = found.data
    assert data["earn"] == [
        {
            "id": "base",
            "name": "Every order",
            "activity": "purchase",
            "gives": {"type": "per_amount", "points": 1, "per_minor": 250},
        },
        *EARN[1:],
    ]
    assert data["points"]["pending"] == "P1M"
    assert data["ladder"]["tiers"][1]["ways_in"] == [{"spend_minor": 75_000}, {"points": 500}]
    assert [each.detail["part"] for each in office.audit(action="draft.edited")] == [
        "ladder/tiers/1", "points", "earn/0",
    ]  # fmt: skip


def test_what_is_wrong_is_kept_and_told_beside_the_field(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        answer = save(
            browser,
            "earn/0",
            **{"d.earn.0.gives.per_minor": "much", "d.earn.0.when": "order.total >", "d.earn.0.id": ""},
        )
        assert 'value="much"' in answer.text
        assert "order.total &gt;" in answer.text
        assert "'much' is not an amount; write it like 49.99" in text_of(answer)
        assert "Is required, but missing" in answer.text
        overview = browser.get("/admin/program")
        assert "It cannot be published yet." in overview.text
        assert "earn/0#d.earn.0.gives.per_minor" in overview.text
        publish = browser.get("/admin/program/publish")
        assert "To mend first" in publish.text
        assert not has_form(publish, "program/publish")
        # Mended, nothing is said any more but of the condition, which is checked once the rule is one.
        mended = save(browser, "earn/0", **{"d.earn.0.gives.per_minor": "1", "d.earn.0.id": "base"})
        assert "is not an amount" not in text_of(mended)
        assert 'id="d.earn.0.when!remarks" data-at="d.earn.0.when">' in mended.text
    assert draft_data(office)["earn"][0]["when"] == "order.total >"


def test_items_are_added_moved_copied_and_removed(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        added = save(browser, "earn", do="add:d.earn")
        assert added.url.path == f"{DRAFT}/earn/3"
        assert "Is required" not in added.text, "it was only just added"
        values = {"d.earn.3.id": "review", "d.earn.3.activity": "review", "d.earn.3.gives.type": "fixed"}
        chosen = browser.follow(browser.send(added, "draft/earn/3", do="choose:d.earn.3.gives", **values))
        assert chosen.url.fragment == "d.earn.3.gives"
        save(browser, "earn/3", **{"d.earn.3.gives.points": "5"})
        save(browser, "earn", do="up:d.earn.3")
        save(browser, "earn", do="remove:d.earn.0")
        copied = save(browser, "earn/0", do="copy:d.earn.0", **{"d.earn.0.gives.points": "60"})
        assert copied.url.path == f"{DRAFT}/earn/1"
        assert [each["id"] for each in draft_data(office)["earn"]] == [
            "welcome",
            "welcome-2",
            "review",
            "answers",
        ]
        assert draft_data(office)["earn"][1]["gives"]["points"] == 60
        # Within a page.
        save(browser, "earn/0", do="add:d.earn.0.caps")
        assert draft_data(office)["earn"][0]["caps"] == [{}]
        save(
            browser,
            "earn/0",
            do="add:d.earn.0.windows",
            **{"d.earn.0.caps.0.per": "day", "d.earn.0.caps.0.times": "1"},
        )
        assert draft_data(office)["earn"][0]["caps"] == [{"per": "day", "times": 1}]
        save(browser, "earn/0", do="remove:d.earn.0.windows.0")
        assert "windows" not in draft_data(office)["earn"][0]
        save(browser, "referrals", do="put:d.referrals")
        assert draft_data(office)["referrals"] == {}
        save(browser, "referrals", do="put:d.referrals.guards.velocity")
        save(browser, "referrals", do="drop:d.referrals")
        assert "referrals" not in draft_data(office)
        tier = save(browser, "ladder", do="add:d.ladder.tiers", **{"d.ladder.upgrade": "period_end"})
        assert tier.url.path == f"{DRAFT}/ladder/tiers/2"
        assert draft_data(office)["ladder"]["upgrade"] == "period_end"
        refused = save(browser, "earn", do="remove:d.earn.77")
        assert "That could not be done" in refused.text


def test_addresses_of_nothing_lead_nowhere(office: Office, owner: Browser) -> None:
    for part in (
        "earn/99",
        "earn/x",
        "nothing",
        "ladder/tiers",
        "earn/0/gives",
        "surveys/0",
        "earn/00",
        "earn/-1",
    ):
        assert owner.get(f"{DRAFT}/{part}").status_code == 404, part
    assert owner.client.post(f"{DRAFT}/nothing", data={"csrf": owner.token}).status_code == 404
    assert owner.get("/admin/program/versions/99").status_code == 404
    assert owner.get("/admin/program/versions/x").status_code == 404
    assert owner.get("/admin/program/draft/preview/none").status_code == 404
    assert owner.follow(owner.get(DRAFT)).url.path == f"{DRAFT}/earn"


# Two at once


def test_two_edit_different_parts_at_once(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as one, office.browser("owner") as other:
        of_one, of_other = page(one, "earn/0"), page(other, "points")
        one.send(of_one, "draft/earn/0", do="save", **{"d.earn.0.name": "One"})
        answer = other.send(of_other, "draft/points", do="save", **{"d.points.pending": "3 days"})
        assert answer.status_code == 303
    assert draft_data(office)["earn"][0]["name"] == "One"
    assert draft_data(office)["points"]["pending"] == "P3D"


def test_two_edit_the_same_part_and_the_second_is_shown_both(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as one, office.browser("owner") as other:
        of_one, of_other = page(one, "earn/0"), page(other, "earn/0")
        one.send(of_one, "draft/earn/0", do="save", **{"d.earn.0.name": "Theirs"})
        told = other.send(of_other, "draft/earn/0", do="save", **{"d.earn.0.name": "Mine"})
        assert told.status_code == 409
        assert "The editor changed this meanwhile" in told.text
        assert "<pre>Theirs</pre>" in told.text
        assert "<pre>Mine</pre>" in told.text
        assert 'value="Mine"' in told.text
        assert draft_data(office)["earn"][0]["name"] == "Theirs", "nothing was overwritten"
        # While typing it is the same, in a word.
        answer = check(other, of_other, d__earn__0__name="Mine")
        assert answer.status_code == 409
        assert answer.json() == {"conflict": "The editor changed this page meanwhile."}
        # Having seen both, the second may insist.
        other.send(told, "draft/earn/0", do="save")
        assert draft_data(office)["earn"][0]["name"] == "Mine"


def test_an_item_is_found_again_where_it_was_moved_to(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as one, office.browser("owner") as other:
        of_other = page(other, "earn/0")
        save(one, "earn", do="down:d.earn.0")
        answer = other.send(of_other, "draft/earn/0", do="add:d.earn.0.caps", **{"d.earn.0.name": "Mine"})
        assert other.follow(answer).url.path == f"{DRAFT}/earn/1"
        checked = check(other, page(other, "earn/1"), **{"d.earn.1.priority": "x"}).json()
        assert {
            "at": "d.earn.1.priority",
            "kind": "error",
            "message": "'x' is not a whole number",
        } in checked["remarks"]
    earn = draft_data(office)["earn"]
    assert [each["id"] for each in earn] == ["welcome", "base", "answers"]
    assert (earn[1]["name"], earn[1]["caps"]) == ("Mine", [{}])
    assert "name" not in earn[0]


def test_an_item_that_was_removed_meanwhile_is_not_lost(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as one, office.browser("owner") as other:
        of_other = page(other, "earn/2")
        save(one, "earn", do="remove:d.earn.2")
        told = other.send(of_other, "draft/earn/2", do="save", **{"d.earn.2.name": "Mine"})
        assert told.status_code == 409
        assert 'value="Mine"' in told.text
        assert len(draft_data(office)["earn"]) == 2
        assert other.send(told, "draft/earn/2", do="save").status_code == 303
    assert draft_data(office)["earn"][2] == EARN[2] | {"name": "Mine"}


def test_a_button_of_a_list_that_changed_is_not_pressed(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as one, office.browser("owner") as other:
        of_other = page(other, "earn")
        save(one, "earn", do="down:d.earn.0")
        told = other.send(of_other, "draft/earn", do="remove:d.earn.0")
        assert told.status_code == 409
        assert "Nothing was done yet." in told.text
    assert [each["id"] for each in draft_data(office)["earn"]] == ["welcome", "base", "answers"]


def test_the_same_typed_twice_is_no_conflict(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        shown = page(browser, "earn/0")
        for _ in range(2):
            assert (
                browser.send(shown, "draft/earn/0", do="save", **{"d.earn.0.name": "Mine"}).status_code == 303
            )
        assert check(browser, shown, d__earn__0__name="Mine").json()["saved"] is True


# While typing


def test_typing_is_saved_and_checked(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        shown = page(browser, "earn/0")
        answer = check(
            browser, shown, d__earn__0__gives__points="0", d__earn__0__when="order.total_minor > 5"
        )
        assert answer.status_code == 200
        found = answer.json()
        assert found["saved"] is True
        assert found["remarks"] == [
            {"at": "d.earn.0.gives.points", "kind": "error", "message": "Must be at least 1, not 0"}
        ]
        assert draft_data(office)["earn"][0]["gives"]["points"] == 0
        # The page goes on from what it was told.
        again = check(browser, shown, _was=found["was"], d__earn__0__gives__points="2")
        assert again.json()["remarks"] == []
        stale = check(browser, shown, d__earn__0__gives__points="3")
        assert stale.status_code == 409
    assert draft_data(office)["earn"][0]["gives"]["points"] == 2
    assert len(office.audit(action="draft.edited")) == 1, "one line for one sitting"


def test_cautions_are_told_while_typing(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        answer = check(
            browser,
            page(browser, "earn/0"),
            d__earn__0__active="+",
            **{"d.earn.0.active.until": "2020-01-01"},
        )
        (remark,) = answer.json()["remarks"]
        assert (remark["at"], remark["kind"]) == ("d.earn.0.active.until", "caution")


def test_a_session_that_ended_loses_nothing(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        shown = page(browser, "earn/0")
        expire_sessions(office)
        assert check(browser, shown, d__earn__0__name="Typed").status_code == 401
        asked = browser.send(
            shown, "draft/earn/0", do="save", **{"d.earn.0.name": "Typed <b>while</b> signed out"}
        )
        assert asked.status_code == 401
        again = browser.send(asked, "sign-in", email="editor@shop.test", password="correct horse battery")
        assert "What you typed in the program's draft is kept." in again.text
        answer = browser.follow(browser.send(again, "draft/earn/0"))
        assert "Typed &lt;b&gt;while&lt;/b&gt; signed out" in answer.text
    assert draft_data(office)["earn"][0]["name"] == "Typed <b>while</b> signed out"


def test_another_site_cannot_edit(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        shown = page(browser, "earn/0")
        crossing = {"origin": "https://evil.test", "sec-fetch-site": "cross-site"}
        assert browser.send(shown, "draft/earn/0", crossing, **{"d.earn.0.id": "x"}).status_code == 403
        assert browser.send(shown, "draft/earn/0", csrf="x", **{"d.earn.0.id": "x"}).status_code == 403
    assert draft(office) is None


def test_what_is_typed_is_shown_and_never_run(office: Office) -> None:
    publish_program(office)
    hostile = '"><script>alert(1)</script>`<img src=x onerror=alert(1)>'
    with office.browser("editor") as browser:
        save(
            browser, "earn/0", **{"d.earn.0.name": hostile, "d.earn.0.id": hostile, "d.earn.0.when": hostile}
        )
        for address in (
            f"{DRAFT}/earn/0",
            f"{DRAFT}/earn",
            f"{DRAFT}/yaml",
            "/admin/program",
            "/admin/program/publish",
        ):
            shown = browser.get(address)
            assert "<script>alert" not in shown.text
            assert "<img src=x" not in shown.text
            assert "'unsafe-inline'" not in shown.headers["content-security-policy"]


# As YAML


def test_yaml_is_kept_as_typed_with_the_lines_of_what_is_wrong(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        text = next(form for form in forms(page(browser, "yaml")) if "text" in form.fields).fields["text"][0]
        typed = "# Why we do this\r\n" + text.replace("points: 50", "points: fifty # many", 1)
        answer = save(browser, "yaml", text=typed)
        line = typed.splitlines().index(next(each for each in typed.splitlines() if "fifty" in each)) + 1
        assert f'data-line="{line}">Line {line}</a>' in answer.text
        assert "must be a whole number, not 'fifty'" in text_of(answer)
        assert "# Why we do this" in answer.text
        found = draft(office)
        assert found is not None
        assert found.text == typed.replace("\r\n", "\n")
        # The forms show the same draft, and say that comments go.
        rule = page(browser, "earn/1")
        assert 'value="fifty"' in rule.text
        assert "Forms cannot keep those" in rule.text
        # So nothing typed in a form is saved by itself.
        typing = check(browser, rule, **{"d.earn.1.gives.points": "0"}).json()
        assert (typing["kept"], typing["saved"]) == (False, False)
        assert [each["message"] for each in typing["remarks"]] == ["Must be at least 1, not 0"]
        assert draft(office) == found
        save(browser, "earn/1", **{"d.earn.1.gives.points": "51"})
        again = page(browser, "yaml")
        assert "points: 51" in again.text
        assert "# Why" not in again.text
        assert newest(office).earn[1].gives.points == 50  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "typed", ["a: [", "", "- a list", "\x00\x01", "just words", "a: 1\na: 2", "x: 1e999"]
)
def test_text_that_no_form_can_show_is_kept(office: Office, typed: str) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        save(browser, "yaml", text=typed)
        found = draft(office)
        assert found is not None
        assert found.text == typed.replace("\x00", "\ufffd")
        shown = page(browser, "earn")
        assert shown.status_code == 200
        if found.data is None or not isinstance(found.data, dict):
            assert "text that no form can show" in shown.text
            answer = browser.client.post(
                f"{DRAFT}/points", data={"csrf": browser.token, "d.points.pending": "1 day"}
            )
            assert answer.headers["location"].endswith("draft/yaml")
        assert draft(office) == found
        assert browser.get("/admin/program").status_code == 200
        assert browser.get("/admin/program/publish").status_code == 200


ODD = """
schema_version: 1
name: [a, list]
currency: {}
timezone: 5
points: none
earn: [5, null, {id: [1], gives: 7, activity: 1, when: {a: b}, caps: {}, windows: [x]}, {gives: {type: magic, spell: 1}}]
surveys: {not: a list}
ladder: {tiers: [{id: a, ways_in: [{points: x, window: {type: [1]}}, y]}, 3], window: 5, extra: "<b>"}
referrals: []
unknown: {deep: [1, {er: true}]}
"""


def test_odd_text_is_shown_in_forms_and_kept_by_them(office: Office) -> None:
    """Whatever stands in the text, every page shows it, and saving a page as it was shown changes nothing."""
    with office.browser("editor") as browser:
        save(browser, "yaml", text=ODD)
        before = draft_data(office)
        assert before["earn"][0] == 5
        parts = ["earn/0", "earn/1", "earn/2", "earn/3", "ladder/tiers/0", "ladder/tiers/1"]
        for part in (*PARTS[:2], "earn", *PARTS[4:7], "refunds", "surveys", "referrals", "ladder", *parts):
            answer = save(browser, part)
            assert answer.status_code == 200, part
            now = draft_data(office)
            changed = {name for name in {*before, *now} if before.get(name) != now.get(name)}
            # What says nothing, or is text where text belongs, may be written otherwise.
            assert changed <= {"earn", "ladder", "timezone"}, (part, changed)
        assert now["unknown"] == before["unknown"]
        assert now["name"] == ["a", "list"]
        assert now["earn"][2]["gives"] == 7
        assert now["earn"][3]["gives"] == {"type": "magic", "spell": 1}
        assert now["ladder"]["extra"] == "<b>"
        assert now["ladder"]["tiers"][0]["ways_in"][1] == "y"
        assert now["surveys"] == {"not": "a list"}


def test_two_edit_the_text_at_once(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as one, office.browser("owner") as other:
        of_one, of_other = page(one, "yaml"), page(other, "yaml")
        text = next(form for form in forms(of_one) if "text" in form.fields).fields["text"][0]
        one.send(of_one, "draft/yaml", text=text.replace("Tea Club", "Theirs"))
        told = other.send(of_other, "draft/yaml", text=text.replace("Tea Club", "Mine"))
        assert told.status_code == 409
        assert '<span class="theirs">-name: Theirs</span>' in told.text
        assert '<span class="ours">+name: Mine</span>' in told.text
        headers = {"x-requested-with": "fetch", "sec-fetch-site": "same-origin"}
        form = next(form for form in forms(of_other) if "text" in form.fields)
        typing = other.client.post(
            f"{DRAFT}/yaml/check", data=form.fields | {"text": "name: Mine"}, headers=headers
        )
        assert typing.status_code == 409
        other.send(told, "draft/yaml")
        assert "name: Mine" in (draft(office).text or "")  # type: ignore[union-attr]


def test_text_is_checked_while_it_is_typed(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        form = next(form for form in forms(page(browser, "yaml")) if "text" in form.fields)
        headers = {"x-requested-with": "fetch", "sec-fetch-site": "same-origin"}
        text = form.fields["text"][0].replace("currency: GBP", "currency: XYZ")
        answer = browser.client.post(
            f"{DRAFT}/yaml/check", data=form.fields | {"text": text}, headers=headers
        )
        (line,) = answer.json()["lines"]
        assert (line["kind"], line["line"], line["path"], line["text"]) == (
            "error",
            3,
            "currency",
            "currency: XYZ",
        )


def test_money_is_in_the_currency_that_the_form_showed(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        shown = page(browser, "earn/0")
        save(browser, "basics", d__currency="JPY")
        browser.send(shown, "draft/earn/0", do="save", **{"d.earn.0.gives.per_minor": "2.00"})
        assert draft_data(office)["earn"][0]["gives"]["per_minor"] == 200
        assert 'value="200"' in page(browser, "earn/0").text


def test_a_draft_is_thrown_away(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        save(browser, "basics", d__name="Other")
        shown = browser.get("/admin/program")
        save(browser, "basics", d__name="Another")
        kept = browser.follow(browser.send(shown, "draft/discard"))
        assert "it was kept" in kept.text
        gone = browser.follow(browser.send(browser.get("/admin/program"), "draft/discard"))
        assert "The draft is gone" in gone.text
        assert draft(office) is None
        # A form that was open all the while is told, not taken as if nothing had happened.
        old = page(browser, "basics")
        save(browser, "basics", d__name="New")
        assert browser.send(old, "draft/basics", do="save", **{"d.name": "Old"}).status_code == 409
    assert json.loads(json.dumps(draft_data(office)["name"])) == "New"
