import re
import threading
import time
from dataclasses import replace
from datetime import datetime
from html import unescape

import httpx
from office import Browser, Office
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.keys import list_keys, parse_token
from rewards.core.progress import Progress
from rewards.decide.commands import Adjust
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.jobs import JOBS, Done, run


def text_of(page: httpx.Response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def test_a_key_is_shown_once_and_revoked(office: Office, owner: Browser) -> None:
    made = owner.send(owner.get("/admin/system"), "/system/keys", name="webshop", scope="storefront")
    assert made.status_code == 200
    (key,) = re.findall(r"rk_\w+?_[\w-]+", made.text)
    token = parse_token(key)
    assert token is not None
    assert owner.get("/v1/program", headers={"authorization": f"Bearer {key}"}).status_code == 200
    page = owner.get("/admin/system")
    assert "webshop" in page.text
    assert token.secret not in page.text
    gone = owner.follow(owner.send(page, f"{token.key_id}/revoke"))
    assert "The key is revoked" in gone.text
    with office.database.engine.connect() as connection:
        (stored,) = list_keys(connection)
    assert stored.revoked_at is not None
    assert [(entry.action, entry.subject) for entry in office.audit()][:2] == [
        ("key.revoked", f"key:{token.key_id}"),
        ("key.created", f"key:{token.key_id}"),
    ]
    assert token.secret not in repr(office.audit())


def test_what_cannot_be_a_key_is_said_where_it_was_typed(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/system")
    for fields, complaint in (
        ({"name": " ", "scope": "storefront"}, "Give the key a name"),
        ({"name": "x" * 201, "scope": "storefront"}, "Give the key a name"),
        ({"name": "webshop", "scope": "root"}, "Choose what the key may do."),
        ({"name": "webshop", "scope": ""}, "Choose what the key may do."),
    ):
        answer = owner.send(page, "/system/keys", **fields)
        assert answer.status_code == 422
        assert complaint in answer.text
        assert 'aria-invalid="true"' in answer.text
    with office.database.engine.connect() as connection:
        assert list_keys(connection) == []
    token = owner.token
    assert owner.client.post("/admin/system/keys/nobody/revoke", data={"csrf": token}).status_code == 404
    assert owner.client.post("/admin/system/jobs/nothing/run", data={"csrf": token}).status_code == 404


def test_a_job_is_run_and_says_how_it_went(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/system")
    assert text_of(page).count("never") >= 3
    begun = owner.follow(owner.send(page, "jobs/expire/run"))
    assert "The job expire is started." in begun.text
    assert 'data-poll="' in begun.text
    deadline = time.monotonic() + 30
    while "0 customers settled, 0 points expired" not in text_of(page):
        assert time.monotonic() < deadline, text_of(page)
        time.sleep(0.2)
        page = owner.get("/admin/system")
    assert (office.audit()[0].action, office.audit()[0].subject) == ("job.started", "job:expire")


def test_the_ledger_is_checked_beside_the_server(office: Office, owner: Browser) -> None:
    gifts = [
        Submission(Adjust(customer_id=f"c-{number}", points=10, reason="A gift"), f"k-{number}", "test")
        for number in range(5)
    ]
    Engine(office.database).execute(gifts, utc_now())
    begun = owner.follow(owner.send(owner.get("/admin/system"), "system/check"))
    assert "The check has begun." in begun.text
    assert 'id="check" data-poll="1000"' in begun.text
    # One at a time.
    token = owner.token
    again = owner.follow(owner.client.post("/admin/system/check", data={"csrf": token}))
    assert "at work already" in again.text or "every invariant holds" in again.text
    deadline = time.monotonic() + 30
    while "every invariant holds" not in (page := owner.get("/admin/system")).text:
        assert time.monotonic() < deadline, text_of(page)
        time.sleep(0.2)
    assert "5 customers, 5 entries" in text_of(page)
    assert 'id="check" data-poll' not in page.text


def test_says_what_it_runs_on(owner: Browser) -> None:
    said = text_of(owner.get("/admin/system"))
    assert re.search(r"Database PostgreSQL \d+\.\d+, your own", said)
    assert re.search(r"Schema at migration \d{4}", said)


def test_a_job_that_runs_is_told_from_one_that_was_cut_short(office: Office, owner: Browser) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work(database: Database, now: datetime, progress: Progress) -> Done:
        begun.set()
        assert may_end.wait(30)
        return Done(0, "ended")

    slow = replace(JOBS["expire"], work=work)
    thread = threading.Thread(target=run, args=(slow, office.database, utc_now()))
    thread.start()
    assert begun.wait(30)
    running = owner.get("/admin/system")
    assert "running" in text_of(running)
    assert 'id="jobs" data-poll' in running.text
    may_end.set()
    thread.join()
    assert "done ended" in text_of(owner.get("/admin/system"))
    with office.database.engine.begin() as connection:
        connection.execute(text("UPDATE job_runs SET finished_at = NULL, ok = NULL, detail = NULL"))
    killed = owner.get("/admin/system")
    assert "cut short" in text_of(killed)
    assert 'id="jobs" data-poll' not in killed.text


def test_a_job_is_not_awaited_for_ever(owner: Browser) -> None:
    for at in ("0", "x", "9" * 400, "1700000000"):
        page = owner.get("/admin/system", params={"started": "expire", "at": at})
        assert page.status_code == 200
    assert 'id="jobs" data-poll' not in page.text
    soon = owner.get("/admin/system", params={"started": "expire", "at": int(time.time())})
    assert 'id="jobs" data-poll' in soon.text
