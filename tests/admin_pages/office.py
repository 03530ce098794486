"""The admin pages over HTTP, from a browser that runs no scripts: cookies, forms as they stand on the page, redirects."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx
import uvicorn

from api.app import create_app
from rewards.admins.accounts import AdminAccount, create_admin
from rewards.admins.audit import AuditEntry, AuditFilters, audit_page
from rewards.admins.passwords import hash_password
from rewards.admins.roles import ROLES, Role
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.settings import Settings

PASSWORD = "correct horse battery"
#: Made once: each takes a core for a while.
_HASH = hash_password(PASSWORD)


def email_of(role: Role) -> str:
    return f"{role}@shop.test"


def add_admin(
    database: Database, role: Role, email: str | None = None, name: str | None = None
) -> AdminAccount:
    """Make an admin whose password is ``PASSWORD``."""
    with database.engine.begin() as connection:
        return create_admin(
            connection,
            email=email or email_of(role),
            name=name or f"The {role}",
            role=role,
            password_hash=_HASH,
            now=utc_now(),
        )


@dataclass
class HtmlForm:
    """A form as it stands on a page."""

    action: str
    method: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    button: str = ""


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[HtmlForm] = []
        self._form: HtmlForm | None = None
        self._text: tuple[str, list[str]] | None = None
        self._select: str | None = None
        self._in_button = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {name: value if value is not None else "" for name, value in attrs}
        if tag == "form":
            self._form = HtmlForm(about.get("action", ""), about.get("method", "get"))
            self.found.append(self._form)
        if self._form is None:
            return
        name, fields = about.get("name", ""), self._form.fields
        if tag == "input" and name:
            if about.get("type") not in ("checkbox", "radio") or "checked" in about:
                fields.setdefault(name, []).append(about.get("value", ""))
        elif tag == "textarea" and name:
            self._text = (name, [])
        elif tag == "select":
            self._select = name
        elif (
            tag == "option"
            and self._select is not None
            and ("selected" in about or self._select not in fields)
        ):
            fields[self._select] = [about.get("value", "")]
        elif tag == "button":
            self._in_button = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea" and self._text is not None and self._form is not None:
            name, parts = self._text
            self._form.fields.setdefault(name, []).append("".join(parts).removeprefix("\n"))
            self._text = None
        elif tag == "select":
            self._select = None
        elif tag == "button":
            self._in_button = False

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text[1].append(data)
        elif self._in_button and self._form is not None:
            self._form.button += data.strip()


@dataclass
class Browser:
    """A browser on the admin pages of a server at ``base``."""

    client: httpx.Client

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def follow(self, answer: httpx.Response) -> httpx.Response:
        """Go where an answer redirects to, as often as it does."""
        while answer.is_redirect:
            answer = self.client.get(urljoin(str(answer.url), answer.headers["location"]))
        return answer

    def send(
        self, page: httpx.Response, action: str, headers: dict[str, str] | None = None, **values: Any
    ) -> httpx.Response:
        """Fill in the page's form whose action ends with ``action``, and send it as a browser would."""
        form = next(form for form in forms(page) if form.method == "post" and form.action.endswith(action))
        fields: dict[str, Any] = {**form.fields, **values}
        origin = str(self.client.base_url).rstrip("/")
        sent = {"origin": origin, "sec-fetch-site": "same-origin"} if headers is None else headers
        return self.client.post(urljoin(str(page.url), form.action), data=fields, headers=sent)

    def sign_in(
        self, role: Role = "owner", password: str = PASSWORD, email: str | None = None
    ) -> httpx.Response:
        """Sign in, and return the page that comes next."""
        page = self.get("/admin/sign-in")
        return self.follow(self.send(page, "sign-in", email=email or email_of(role), password=password))

    @property
    def token(self) -> str:
        """The csrf token of any form of the present session."""
        found = re.search(r'name="csrf" value="(\w+)"', self.get("/admin").text)
        assert found is not None, "nobody is signed in"
        return found[1]

    @property
    def cookie(self) -> str | None:
        return self.client.cookies.get("rewards_session")


def forms(page: httpx.Response) -> list[HtmlForm]:
    """All forms of a page."""
    parser = _Forms()
    parser.feed(page.text)
    return parser.found


@dataclass
class Office:
    """A running server with an admin of each role."""

    base: str
    settings: Settings
    database: Database
    admins: dict[Role, AdminAccount]

    @contextmanager
    def browser(self, role: Role | None = None, base: str | None = None) -> Iterator[Browser]:
        """Open a fresh browser, signed in as somebody of that role."""
        with httpx.Client(base_url=base or self.base, timeout=30) as client:
            browser = Browser(client)
            if role is not None:
                assert browser.sign_in(role).status_code == 200
            yield browser

    def audit(self, **filters: Any) -> list[AuditEntry]:
        """The newest lines of the audit log."""
        with self.database.engine.connect() as connection:
            return audit_page(connection, AuditFilters(**filters))[0]


def staff(database: Database) -> dict[Role, AdminAccount]:
    """Make an admin of each role."""
    return {role: add_admin(database, role) for role in ROLES}


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve the application on a socket and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        create_app(settings), port=port, log_config=None, access_log=False, proxy_headers=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    give_up_at = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the application did not start"
        assert time.monotonic() < give_up_at, "the application did not start in time"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=30)
