"""Who may do what: keys, scopes, revocation."""

import time
from hashlib import sha256

import pytest
from api_shop import Shop, purchase
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.keys import KeyRing, create_key, list_keys, parse_token, read_key, revoke_key

HOLD = "/v1/redemptions/rdm_Yy0x.1"


def test_a_key_is_stored_only_as_a_hash_of_its_secret(database: Database) -> None:
    with database.engine.begin() as connection:
        key = create_key(connection, "webshop", "storefront", utc_now())
        row = connection.execute(text("SELECT * FROM api_keys WHERE name = 'webshop'")).mappings().one()
    token = parse_token(key)
    assert token is not None
    assert len(token.secret) >= 43  # 32 bytes in base64
    assert bytes(row["secret_hash"]) == sha256(token.secret.encode()).digest()
    assert token.secret not in str(dict(row))


def test_keys_are_listed_and_revoked_once(database: Database) -> None:
    with database.engine.begin() as connection:
        key = create_key(connection, "webshop", "storefront", utc_now())
        token = parse_token(key)
        assert token is not None
        first = utc_now()
        assert revoke_key(connection, token.key_id, first)
        assert revoke_key(connection, token.key_id, utc_now())
        assert not revoke_key(connection, "nosuchkey", first)
        listed = [each for each in list_keys(connection) if each.key_id == token.key_id]
        assert [(each.name, each.scope, each.revoked_at) for each in listed] == [
            ("webshop", "storefront", first)
        ]
        assert "secret" not in repr(listed[0])


@pytest.mark.parametrize(
    ("name", "scope"), [("", "admin"), (" ", "admin"), ("a\nb", "admin"), ("x" * 201, "admin"), ("x", "root")]
)
def test_a_key_needs_a_name_and_a_known_scope(database: Database, name: str, scope: str) -> None:
    with (
        database.engine.connect() as connection,
        pytest.raises(ValueError, match=r"key needs a name|scope must be"),
    ):
        create_key(connection, name, scope, utc_now())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    ["", "rk", "rk_", "rk_abc", "rk_abc_", "sk_abc_def", "rk_a-b_c", "rk_abc_ä", "rk_" + "a" * 33 + "_x"],
)
def test_what_cannot_be_a_key_is_not_looked_up(given: str) -> None:
    assert parse_token(given) is None


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic dXNlcjpwYXNz",
        "Bearer rk_0123456789ab_unknown",
    ],
)
def test_without_a_good_key_nothing_is_answered(shop: Shop, authorization: str | None) -> None:
    answer = shop.get("/v1/customers/c-1", headers={"authorization": authorization or ""})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_key_with_another_secret_is_refused(shop: Shop) -> None:
    shop.award("c-1", "1")  # the key is known now, and believed for a moment
    forged = shop.keys["admin"][:-1] + ("x" if shop.keys["admin"][-1] != "x" else "y")
    assert shop.get("/v1/program", headers={"authorization": f"Bearer {forged}"}).status_code == 401


def test_the_kind_of_authorization_may_be_written_in_any_case(shop: Shop) -> None:
    assert (
        shop.get("/v1/program", headers={"authorization": f"bearer {shop.keys['admin']}"}).status_code == 200
    )


READS = [("GET", "/v1/customers/c-1"), ("GET", "/v1/customers/c-1/entries"), ("GET", "/v1/program")]
STOREFRONT = [
    ("POST", "/v1/awards"),
    ("POST", "/v1/redemptions"),
    ("POST", f"{HOLD}/capture"),
    ("POST", f"{HOLD}/void"),
    ("POST", f"{HOLD}/reverse"),
    ("POST", "/v1/reversals"),
    ("POST", "/v1/quotes"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/customers/c-1/link"),
]
ADMIN = [("POST", "/v1/adjustments"), ("PUT", "/v1/program")]


def test_each_scope_opens_what_it_is_for(shop: Shop) -> None:
    for method, path in [*READS, *STOREFRONT, *ADMIN]:
        may = {"admin"}
        may |= {"storefront"} if (method, path) not in ADMIN else set()
        may |= {"readonly"} if (method, path) in READS else set()
        for scope in ("storefront", "admin", "readonly"):
            answer = shop.send(method, path, {} if method != "GET" else None, scope=scope, key="k")
            assert (answer.status_code == 403) == (scope not in may), (method, path, scope, answer.text)
            if scope not in may:
                problem = answer.json()
                assert problem["code"] == "wrong-scope"
                assert problem["scope"] == scope
                assert problem["needed"] == ("admin" if (method, path) in ADMIN else "storefront")


def test_a_revoked_key_stops_working_within_a_quarter_of_a_second(shop: Shop, database: Database) -> None:
    assert shop.get("/v1/program", scope="storefront").status_code == 200
    token = parse_token(shop.keys["storefront"])
    assert token is not None
    with database.engine.begin() as connection:
        revoke_key(connection, token.key_id, utc_now())
    revoked = time.monotonic()
    while shop.get("/v1/program", scope="storefront").status_code != 401:
        assert time.monotonic() - revoked < 0.3
    answer = shop.post("/v1/awards", purchase("c-1", "1"), key="k", scope="storefront")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_a_busy_key_is_read_only_every_now_and_then(database: Database, keys: dict[str, str]) -> None:
    token = parse_token(keys["admin"])
    assert token is not None
    with database.engine.connect() as connection:
        key = read_key(connection, token.key_id)
    ring = KeyRing()
    assert ring.find(token.key_id, 10.0) == (None, True)
    assert ring.keep(key, token.key_id, 10.0) == key
    assert ring.find(token.key_id, 10.1) == (key, False)
    assert ring.find(token.key_id, 10.2) == (key, True)  # still good, and time to look again
    assert ring.find(token.key_id, 10.25) == (None, True)
    ring.keep(None, token.key_id, 10.2)
    assert ring.find(token.key_id, 10.2) == (None, True)


def test_health_and_documents_need_no_key(shop: Shop) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs", "/internal/metrics"):
        assert shop.get(path, headers={"authorization": ""}).status_code == 200, path
