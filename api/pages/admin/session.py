"""Who is signed in: cookies, the token that forms carry, and what happens to a request without a session."""

import hmac
import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

from api.bodies import read_form as read_fields
from api.deps import services_of
from api.errors import Problem, http_problem
from api.pages.admin.forms import Form
from api.routing import header
from rewards.admins.accounts import AdminAccount
from rewards.admins.roles import Permission, Role, allows, least_role
from rewards.admins.sessions import read_session
from rewards.core.clock import utc_now
from rewards.core.settings import Settings, secret_key

SIGN_IN = "/admin/sign-in"
COOKIE = "rewards_session"
#: Fields of a form that belong to the shell, not to what the form is about.
_OWN_FIELDS = frozenset({"csrf"})
_CSRF_PURPOSE = b"rewards.admin.csrf.1:"
_KEPT_PURPOSE = "rewards.admin.kept-form.1"
_KEPT_SECONDS = 24 * 3600
#: A path of ours: nothing that a browser could take for another site, or for a step up.
_OWN_PATH = re.compile(r"/admin(?:/[^/\\?#\x00-\x20\x7f]+)*(?:\?[^\\#\x00-\x20\x7f]*)?")


@dataclass(frozen=True, slots=True)
class Admin:
    """Who sent a request, known by a good session.

    Attributes:
        account: the account as it is at this moment.
        token: the session's secret, as the browser's cookie has it.
        csrf: what every form of this session has to carry.
    """

    account: AdminAccount
    token: str = field(repr=False)
    csrf: str = field(repr=False)

    @property
    def admin_id(self) -> str:
        """The account's id."""
        return self.account.admin_id

    @property
    def email(self) -> str:
        """The account's e-mail address."""
        return self.account.email

    @property
    def name(self) -> str:
        """The person's name."""
        return self.account.name

    @property
    def role(self) -> Role:
        """The account's role."""
        return self.account.role

    @property
    def actor(self) -> str:
        """How entries name who made them."""
        return self.account.actor

    def may(self, permission: Permission) -> bool:
        """Say whether the admin may do that."""
        return allows(self.role, permission)


class SignInNeeded(Exception):
    """The request came without a good session; ``form`` is what was typed, where it was a form."""

    def __init__(self, next_path: str, form: Form | None) -> None:
        super().__init__("sign in first")
        self.next_path = next_path
        self.form = form


class OwnPasswordNeeded(Exception):
    """Whoever is signed in has a password that somebody else has seen, and has to choose another first."""


async def signed_in(
    request: Request, permission: Permission = "view", *, with_temporary_password: bool = False
) -> Admin:
    """Return who sent a request, and may do what needs ``permission``.

    Args:
        request: what was sent.
        permission: what is about to be done.
        with_temporary_password: whether a password will do that is only good for choosing another.

    Raises:
        OwnPasswordNeeded: it will not; the answer leads to where one is chosen.
        SignInNeeded: nobody is signed in: the answer is the sign-in page, which keeps what was typed.
        Problem: 401 for a script of a page, 403 where the role does not allow it or another site sent the form,
            404 where the address names what nothing can be called.
    """
    admin = await find_signed_in(request)
    if admin is None:
        if is_script(request):
            raise Problem(
                401, "signed-out", "You are signed out", "Sign in again; what you typed is still here."
            )
        if request.method in ("GET", "HEAD"):
            raise SignInNeeded(_asked_for(request), None)
        require_own_origin(request)
        raise SignInNeeded(path_of(request), Form(await read_fields(request)))
    request.state.admin = admin
    if admin.account.password_is_temporary and not with_temporary_password:
        raise OwnPasswordNeeded
    if not admin.may(permission):
        raise Problem(
            403,
            "role-not-allowed",
            "Your role does not allow this",
            f"You are signed in as {admin.role}; this needs the role {least_role(permission)}"
            + ("." if least_role(permission) == "owner" else " or one that may more."),
        )
    if any("\0" in str(each) for each in request.path_params.values()):
        # Nothing has such an id, and the database takes none in.
        raise http_problem(404, "")
    return admin


async def read_form(request: Request, admin: Admin) -> Form:
    """Return the fields of a form that this session's page sent.

    Raises:
        Problem: 403 where another site may have sent it; 400, 408, 413 or 415 where it is no form.
    """
    require_own_origin(request)
    form = Form(await read_fields(request))
    given = form.text("csrf") or header(request, b"x-csrf-token")
    if not hmac.compare_digest(given.encode(), admin.csrf.encode()):
        raise Problem(
            403,
            "form-not-ours",
            "This form cannot be taken",
            "It was not made by the page that you are signed in to; perhaps you have signed in again since. "
            "Go back, load the page again, and send the form once more.",
        )
    return form.without(_OWN_FIELDS)


def require_own_origin(request: Request) -> None:
    """Refuse what a browser sends on behalf of another site.

    Raises:
        Problem: 403.
    """
    site = header(request, b"sec-fetch-site")
    origin = header(request, b"origin")
    if site:
        is_own = site in ("same-origin", "none")
    elif origin:
        is_own = urlsplit(origin).netloc.lower() in _own_hosts(request)
    else:  # no browser, so nobody's cookies are abused
        is_own = True
    if not is_own:
        raise Problem(
            403,
            "form-not-ours",
            "This form cannot be taken",
            "It was sent by a page of another site. Open the page here, and send the form from there.",
        )


def own_path(text: str | None) -> str:
    """Return where to go after signing in: the path that was asked for if it is one of ours, else the overview."""
    if text is None or len(text) > 2000 or not _OWN_PATH.fullmatch(text):
        return "/admin"
    segments = text.partition("?")[0].split("/")
    return "/admin" if {".", ".."} & {_decoded(each) for each in segments} else text


def csrf_token(settings: Settings, token: str) -> str:
    """Return what forms of a session carry: nobody can make it who does not know the session's secret and ours."""
    return hmac.new(secret_of(settings).encode(), _CSRF_PURPOSE + token.encode(), sha256).hexdigest()


def keep_form(settings: Settings, path: str, form: Form) -> str:
    """Return a form, without its secrets, as a text that only we can have made."""
    kept = [
        (name, value) for name, value in form.pairs() if "password" not in name and name not in _OWN_FIELDS
    ]
    return _keeper(settings).dumps([path, kept])


def kept_form(settings: Settings, text: str) -> tuple[str, Form] | None:
    """Return where a kept form was going, and the form; None where the text is none, or a day old."""
    try:
        path, pairs = _keeper(settings).loads(text, max_age=_KEPT_SECONDS)
    except BadData:
        return None
    return path, Form.of(pairs)


def path_of(request: Request) -> str:
    """Return the path as the browser asked for it, escapes and all."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return raw.partition(b"?")[0].decode("ascii", errors="replace")


def token_of(request: Request) -> str | None:
    """Return the session's secret that a browser sent along."""
    return request.cookies.get(cookie_name(request)) or None


def cookie_name(request: Request) -> str:
    """Return the session cookie's name: with a prefix that keeps subdomains from setting it, where there is TLS."""
    return f"__Host-{COOKIE}" if is_secure(request) else COOKIE


def is_secure(request: Request) -> bool:
    """Say whether browsers reach us through TLS; a proxy may end it before us."""
    public_url: str = services_of(request).settings.public_url
    return request.url.scheme == "https" or public_url.startswith("https:")


def set_session_cookie(request: Request, response: Response, token: str) -> None:
    """Give a browser its session; it forgets it when it is closed."""
    response.set_cookie(cookie_name(request), token, **_cookie_options(request))


def delete_session_cookie(request: Request, response: Response) -> None:
    """Take a browser's session away."""
    response.delete_cookie(cookie_name(request), **_cookie_options(request))


def client_address(request: Request) -> str:
    """Return the network address that a request came from, as far as it is known.

    Each proxy adds the address that it was asked by; only those that our own proxies added can be believed.
    """
    proxies = services_of(request).settings.proxies
    if proxies:
        said = ",".join(request.headers.getlist("x-forwarded-for"))
        hops = [hop.strip() for hop in said.split(",") if hop.strip()]
        if hops:
            return hops[-min(proxies, len(hops))][:64]
    return request.client.host if request.client else "unknown"


async def find_signed_in(request: Request) -> Admin | None:
    """Return who sent a request, None where nobody is signed in."""
    token = token_of(request)
    if token is None:
        return None
    services, now = services_of(request), utc_now()
    session = await services.reader.read(lambda conn: read_session(conn, token, now))
    return None if session is None else Admin(session.account, token, csrf_token(services.settings, token))


def is_script(request: Request) -> bool:
    """Say whether a page's own script asks, which wants data or a fragment and follows no sign-in page."""
    return header(request, b"sec-fetch-dest") == "empty" or header(request, b"x-requested-with") == "fetch"


def _asked_for(request: Request) -> str:
    return path_of(request) + (f"?{request.url.query}" if request.url.query else "")


def _own_hosts(request: Request) -> set[str]:
    public = urlsplit(services_of(request).settings.public_url).netloc
    return {header(request, b"host").lower(), public.lower()}


def _decoded(segment: str) -> str:
    return segment.replace("%2e", ".").replace("%2E", ".")


def _cookie_options(request: Request) -> dict[str, Any]:
    return {"path": "/", "httponly": True, "samesite": "lax", "secure": is_secure(request)}


def _keeper(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_of(settings), salt=_KEPT_PURPOSE)


@lru_cache(maxsize=8)
def secret_of(settings: Settings) -> str:
    """Return the key that signs; read once, because with the embedded database it is in a file."""
    return secret_key(settings)
