import re

from office import PASSWORD, Browser, Office
from sqlalchemy import text


def secret_on(page_text: str) -> str:
    found = re.search(r'<code class="secret">([^<]+)</code>', page_text)
    assert found is not None
    return found[1]


def test_adds_somebody_who_then_chooses_a_password(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/admins")
    added = owner.send(page, "/admins", email="New@shop.test", name="", role="support")
    assert added.status_code == 200
    password = secret_on(added.text)
    assert password not in owner.get("/admin/admins").text
    with office.browser() as browser:
        first = browser.sign_in(email="new@shop.test", password=password)
        assert first.url.path == "/admin/password"
        new = "a whole new one, long"
        answer = browser.send(first, "/password", old_password=password, new_password=new, again_password=new)
        assert browser.follow(answer).url.path == "/admin"
        assert "<small>support</small>" in browser.get("/admin").text
    created = office.audit(action="admin.created")[0]
    assert created.who == "owner@shop.test"
    assert created.detail == {"email": "new@shop.test", "role": "support"}
    assert password not in repr(office.audit())


def test_says_what_cannot_be_added(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/admins")
    for fields, complaint in (
        ({"email": "no address", "role": "viewer"}, "Give an e-mail address"),
        ({"email": "OWNER@shop.test", "role": "viewer"}, "already"),
        ({"email": "x@shop.test", "role": "root"}, "Choose a role."),
        ({"email": "x@shop.test", "role": "viewer", "name": "x" * 101}, "Give a name"),
    ):
        answer = owner.send(page, "/admins", **fields)
        assert answer.status_code == 422, fields
        assert complaint in answer.text
        assert fields["email"] in answer.text
    assert office.audit(action="admin.created") == []


def test_gives_another_role_disables_and_enables(office: Office, owner: Browser) -> None:
    page, viewer = owner.get("/admin/admins"), office.admins["viewer"].admin_id
    assert "The viewer is editor now." in owner.follow(owner.send(page, f"{viewer}/role", role="editor")).text
    assert "Choose one of the roles." in owner.follow(owner.send(page, f"{viewer}/role", role="root")).text
    page = owner.follow(owner.send(page, f"{viewer}/disable"))
    assert "may sign in no more" in page.text
    assert "may sign in again" in owner.follow(owner.send(page, f"{viewer}/enable")).text
    assert [(entry.action, entry.subject) for entry in office.audit()][:3] == [
        ("admin.enabled", f"admin:{viewer}"),
        ("admin.disabled", f"admin:{viewer}"),
        ("admin.role-changed", f"admin:{viewer}"),
    ]
    with office.browser() as browser:
        assert "<small>editor</small>" in browser.sign_in("viewer").text


def test_the_last_owner_stays_one(office: Office, owner: Browser) -> None:
    me, token = office.admins["owner"].admin_id, owner.token
    for act, fields in (("role", {"role": "viewer"}), ("disable", {})):
        answer = owner.client.post(f"/admin/admins/{me}/{act}", data={**fields, "csrf": token})
        assert "This is the last owner." in owner.follow(answer).text
    assert owner.get("/admin").status_code == 200
    assert (
        "There is no such admin."
        in owner.follow(owner.client.post("/admin/admins/nobody/disable", data={"csrf": token})).text
    )
    assert {entry.action for entry in office.audit()} == {"signed-in"}


def test_resets_a_password(office: Office, owner: Browser) -> None:
    viewer = office.admins["viewer"].admin_id
    with office.browser("viewer") as browser:
        shown = owner.send(owner.get("/admin/admins"), f"{viewer}/password")
        password = secret_on(shown.text)
        assert browser.get("/admin").status_code == 303
        assert browser.sign_in("viewer").status_code == 422
        assert browser.sign_in("viewer", password).url.path == "/admin/password"
    me = office.admins["owner"].admin_id
    own = owner.client.post(f"/admin/admins/{me}/password", data={"csrf": owner.token})
    assert owner.follow(own).url.path == "/admin/password"
    with office.database.engine.connect() as connection:
        temporary = connection.scalars(text("SELECT email FROM admins WHERE password_is_temporary")).all()
    assert temporary == ["viewer@shop.test"]
    assert PASSWORD not in shown.text
