"""Publishing, versions and previews over HTTP: what was shown is what is published, and nothing is overwritten."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from office import Browser, Office
from program_office import (
    DRAFT,
    PROGRAM,
    draft,
    draft_data,
    has_form,
    newest,
    page,
    publish_program,
    save,
    text_of,
)

from api.pages.admin.program import previewing
from api.routes.preview import is_previewing
from rewards.core.clock import utc_now
from rewards.core.database import Database, connect_database
from rewards.decide.commands import Award, Purchase
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.preview.kept import SILENCE, begin_preview, note_progress, read_preview
from rewards.program.versions import load_history

PUBLISH = "/admin/program/publish"
VERSIONS = "/admin/program/versions"


def publish_it(browser: Browser, **values: Any) -> Any:
    return browser.follow(
        browser.send(browser.get(PUBLISH), "program/publish", **{"note": "Because", **values})
    )


def test_a_draft_is_published_with_a_note(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        save(browser, "points", d__points__pending="30 days")
        shown = browser.get(PUBLISH)
        assert "points.pending: P14D → P30D" in text_of(shown)
        without = browser.send(shown, "program/publish", note="  ")
        assert without.status_code == 422
        assert "Say why, in a sentence" in without.text
        done = publish_it(browser, note="Returns take <i>longer</i>")
        assert done.url.path == f"{VERSIONS}/3"
        assert "Version 3 is published, in force now." in done.text
        assert "Returns take &lt;i&gt;longer&lt;/i&gt;" in done.text
        assert "points.pending: P14D → P30D" in text_of(done)
        assert "The editor" in done.text
        assert "There is no draft" in browser.get(PUBLISH).text
    assert newest(office).points.pending == "P30D"
    assert draft(office) is None
    (entry,) = office.audit(action="program.published")
    assert (entry.who, entry.subject) == ("editor@shop.test", "program:3")
    assert entry.detail["note"] == "Returns take <i>longer</i>"
    assert entry.detail["changes"] == 1


@pytest.mark.parametrize("role", ["support", "viewer"])
def test_who_may_not_publish_has_no_button_and_is_refused(office: Office, role: Any) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        save(browser, "points", d__points__pending="30 days")
    with office.browser(role) as browser:
        shown = browser.get(PUBLISH)
        assert "points.pending: P14D → P30D" in text_of(shown)
        assert not has_form(shown, "program/publish")
        assert "Your role may look, but not publish." in shown.text
        values = {"csrf": browser.token, "note": "Mine", "_revision": "1"}
        assert browser.client.post(PUBLISH, data=values).status_code == 403
    assert newest(office).points.pending == "P14D"


def test_what_was_edited_after_it_was_shown_is_not_published(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser, office.browser("owner") as other:
        save(browser, "points", d__points__pending="30 days")
        shown = browser.get(PUBLISH)
        save(other, "basics", d__name="Surprise")
        refused = browser.send(shown, "program/publish", note="Because")
        assert refused.status_code == 422
        assert "The draft was changed after you had opened this page." in refused.text
        assert "Because" in refused.text
        assert "name: Tea Club → Surprise" in text_of(refused)
    assert newest(office).name == "Tea Club"


def test_a_draft_of_an_old_version_is_brought_forward(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        save(browser, "points", d__points__pending="30 days")
        save(browser, "basics", d__name="Ours")
        shown = browser.get(PUBLISH)
        earn = [PROGRAM["earn"][0] | {"priority": 7}, *PROGRAM["earn"][1:]]
        version = publish_program(office, name="Theirs", earn=earn)
        refused = browser.send(shown, "program/publish", note="Because")
        assert refused.status_code == 422
        behind = browser.get(PUBLISH)
        assert f"Version {version} was published meanwhile" in behind.text
        assert "earn[base].priority: 0 → 7" in text_of(behind)
        assert not has_form(behind, "program/publish")
        forward = browser.follow(browser.send(behind, "publish/rebase"))
        assert "Both had changed name; there the draft&#39;s own stands." in forward.text
        assert "name: Theirs → Ours" in text_of(forward)
        assert "priority" not in forward.text
        publish_it(browser)
    published = newest(office)
    assert (published.name, published.points.pending, published.earn[0].priority) == ("Ours", "P30D", 7)
    assert [entry.action for entry in office.audit()][:2] == ["program.published", "draft.rebased"]


def test_it_comes_into_force_later_in_the_programs_zone(office: Office) -> None:
    publish_program(office, timezone="Asia/Tokyo")
    later = (utc_now() + timedelta(days=40)).date()
    with office.browser("editor") as browser:
        save(browser, "points", d__points__pending="30 days")
        for moment, said in (
            ("", "Give a day and a time"),
            ("soon", "Give a day and a time"),
            ("2020-01-01T00:00", "This is past in Asia/Tokyo"),
            ("2999-01-01T00:00", "more than ten years away"),
            ("9999-12-31T23:59", "more than ten years away"),
            ("0001-01-01T00:00", ""),
        ):
            refused = publish_it(browser, when="later", moment=moment)
            assert refused.status_code == 422, moment
            assert said in refused.text
            assert 'value="later" checked' in refused.text
        done = publish_it(browser, when="later", moment=f"{later}T00:00")
        assert "scheduled" in done.text
        assert "points.pending: P14D" in browser.get(f"{VERSIONS}/3").text
        overview = browser.get("/admin/program")
        assert "Version 3" in overview.text
        assert "Scheduled" in overview.text
    with office.database.engine.connect() as connection:
        history = load_history(connection)
    before = datetime(later.year, later.month, later.day, tzinfo=UTC) - timedelta(hours=9)
    assert history.latest.effective_from == before
    assert history.in_force(utc_now()).version == 2


def test_cautions_are_to_be_read(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        save(browser, "earn/0", do="put:d.earn.0.active")
        save(browser, "earn/0", **{"d.earn.0.active.until": "2020-01-01"})
        refused = publish_it(browser)
        assert refused.status_code == 422
        assert "Tick the box once you have read them." in refused.text
        assert "The rule's time is over" in text_of(refused)
        assert publish_it(browser, cautions="yes").url.path == f"{VERSIONS}/3"


def test_a_forged_publication_publishes_nothing(office: Office, owner: Browser) -> None:
    publish_program(office)
    # Without a draft, and with one that is not valid.
    assert (
        owner.client.post(PUBLISH, data={"csrf": owner.token, "note": "x", "_revision": "0"}).status_code
        == 422
    )
    save(owner, "points", d__points__pending="some time")
    values = {"csrf": owner.token, "note": "x", "_revision": "1", "over": "1", "role": "owner"}
    assert owner.client.post(PUBLISH, data=values).status_code == 422
    crossing = {"origin": "https://evil.test", "sec-fetch-site": "cross-site"}
    assert owner.client.post(PUBLISH, data=values, headers=crossing).status_code == 403
    with office.database.engine.connect() as connection:
        assert load_history(connection).latest.version == 2


# Versions


def test_versions_are_listed_searched_and_compared(office: Office, owner: Browser) -> None:
    for name in ("One", "Two", "Three"):
        publish_program(office, name=name)
    listed = owner.get(VERSIONS)
    assert [f"Version {number}" in listed.text for number in (1, 2, 3, 4, 5)] == [True] * 4 + [False]
    assert owner.get(f"{VERSIONS}?q=two").text.count('scope="row"') == 1
    assert "No version fits the search." in owner.get(f"{VERSIONS}?q=nothing").text
    up = owner.get(f"{VERSIONS}?sort=version&dir=up").text
    assert up.index("Version 1<") < up.index("Version 4<")
    shown = owner.get(f"{VERSIONS}/4")
    assert "name: Two → Three" in text_of(shown)
    assert "in force" in shown.text
    assert "name: Three" in shown.text
    assert "name: One → Three" in text_of(owner.get(f"{VERSIONS}/4?with=2"))
    assert "It is the first version." in owner.get(f"{VERSIONS}/1").text
    assert owner.get(f"{VERSIONS}/4?with=9").status_code == 404


def test_an_old_version_is_taken_up_again(office: Office) -> None:
    publish_program(office, name="One")
    publish_program(office, name="Two")
    with office.browser("editor") as browser:
        answer = browser.follow(browser.send(browser.get(f"{VERSIONS}/2"), "2/restore"))
        assert "The draft says what version 2 said." in answer.text
        assert "name: Two → One" in text_of(browser.get(PUBLISH))
        save(browser, "basics", d__name="Mine")
        kept = browser.follow(browser.send(browser.get(f"{VERSIONS}/3"), "3/restore"))
        assert "There is a draft that this would replace." in kept.text
        assert draft_data(office)["name"] == "Mine"
        browser.send(browser.get(f"{VERSIONS}/3"), "3/restore", over="2")
        assert draft_data(office)["name"] == "Two"
    found = draft(office)
    assert found is not None
    assert found.based_on == 3


# Previews


def buy(office: Office, customers: int) -> None:
    """Let each buy for 100.00, half of them two months ago."""
    engine = Engine(office.database)
    engine.execute(
        [
            Submission(
                Award(
                    customer_id=f"c-{number}",
                    activity=Purchase(
                        type="purchase", order_id=f"o-{number}", total_minor=10_000, currency="GBP"
                    ),
                    occurred_at=utc_now() - timedelta(days=60 * (number % 2)),
                ),
                f"k-{number}",
                "test",
            )
            for number in range(customers)
        ],
        utc_now(),
    )


def result_of(browser: Browser, answer: Any) -> Any:
    for _ in range(200):
        answer = browser.get(answer.url.path)
        if "data-poll" not in answer.text:
            return answer
        time.sleep(0.05)
    raise AssertionError("the preview never ended")


def test_a_preview_replays_the_history_in_the_background(office: Office) -> None:
    publish_program(office, 365)
    buy(office, 30)
    with office.browser("editor") as browser:
        save(browser, "earn/0", **{"d.earn.0.gives.points": "2"})
        begun = browser.follow(browser.send(page(browser, "preview"), "draft/preview"))
        assert begun.url.path.startswith(f"{DRAFT}/preview/")
        done = result_of(browser, begun)
        assert "30 activities of 30 customers replayed" in done.text
        assert "6,000" in done.text
        assert "+100.0%" in done.text
        assert '<figure class="chart"><figcaption>Points issued by month' in done.text
        assert "The balance of 30 customers would be another." in done.text
        assert "The draft was changed since" not in done.text
        save(browser, "earn/0", **{"d.earn.0.gives.points": "3"})
        assert "The draft was changed since" in browser.get(done.url.path).text
        assert "done" in page(browser, "preview").text
    with office.browser("viewer") as viewer:
        assert "6,000" in viewer.get(done.url.path).text
    assert len(office.audit(action="draft.previewed")) == 1


def test_a_draft_that_is_wrong_cannot_be_previewed(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser:
        shown = page(browser, "preview")
        save(browser, "earn/0", **{"d.earn.0.gives.points": "none"})
        assert "Mend what is wrong" in browser.follow(browser.send(shown, "draft/preview")).text
        assert not has_form(page(browser, "preview"), "draft/preview")


def test_a_preview_is_stopped_and_one_whose_server_died_is_seen_to_have(
    office: Office, owner: Browser
) -> None:
    now = utc_now()
    with office.database.engine.begin() as connection:
        running = begin_preview(connection, {}, revision=1, now=now, actor="admin:x")
        dead = begin_preview(connection, {}, revision=1, now=now - 2 * SILENCE, actor="admin:x")
        note_progress(connection, running, now, done=5, total=50)
    shown = owner.get(f"{DRAFT}/preview/{running}")
    assert "5 of 50 customers replayed." in shown.text
    stopped = owner.follow(owner.send(shown, f"{running}/stop"))
    assert "It was stopped after 5 customers. Nothing was found by then." in stopped.text
    assert "The server that replayed was stopped meanwhile." in owner.get(f"{DRAFT}/preview/{dead}").text
    with office.database.engine.begin() as connection:
        assert not note_progress(connection, running, utc_now(), done=6, total=50), "it is told to stop"
        found = read_preview(connection, running, utc_now())
    assert found is not None
    assert (found.state, found.done) == ("stopped", 5)


def test_one_preview_at_a_time(office: Office) -> None:
    publish_program(office)
    with office.browser("editor") as browser, is_previewing:
        answer = browser.follow(browser.send(page(browser, "preview"), "draft/preview"))
        assert "Another preview is under way" in answer.text
        assert "None yet." in answer.text


def test_a_server_that_ends_stops_its_own_previews_alone(office: Office, database: Database) -> None:
    ours, others = previewing._Notes(database, "ours"), previewing._Notes(office.database, "others")
    assert office.database is database
    others.database = connect_database(office.settings)
    previewing._under_way.update(ours=ours, others=others)
    try:
        previewing.stop_all(database)
        assert (ours.is_stopped, others.is_stopped) == (True, False)
    finally:
        previewing._under_way.clear()
        others.database.dispose()
