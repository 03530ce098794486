"""Signed links: they open one customer's page until they expire, and nothing else does."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from itsdangerous import Signer

from rewards.core.links import (
    LONGEST_TOKEN,
    PURPOSE,
    SURVEY_PURPOSE,
    LinkExpired,
    LinkInvalid,
    make_link,
    make_survey_link,
    read_link,
    read_survey_link,
)
from rewards.core.settings import Settings

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path, secret_key="a secret of the tests", public_url="https://shop.example/rewards"
    )  # type: ignore[arg-type]


def token_of(settings: Settings, customer_id: str = "c-1", now: datetime = NOW) -> str:
    url, _ = make_link(settings, customer_id, now)
    return urlsplit(url).path.rpartition("/")[2]


def test_a_link_leads_to_the_page_under_the_public_address(settings: Settings) -> None:
    url, expires_at = make_link(settings, "c-1", NOW)
    assert url.startswith("https://shop.example/rewards/me/")
    assert expires_at == NOW + 30 * DAY


def test_its_life_is_a_setting(settings: Settings) -> None:
    for_a_day = settings.model_copy(update={"link_life_days": 1})
    assert make_link(for_a_day, "c-1", NOW)[1] == NOW + DAY


@pytest.mark.parametrize("customer_id", ["c-1", "Zoë/7?&#", "客" * 128, "a.b.c", '"<script>'])
def test_it_is_read_back_whoever_it_is_for(settings: Settings, customer_id: str) -> None:
    assert read_link(settings, token_of(settings, customer_id), NOW) == customer_id


def test_it_works_until_its_last_moment(settings: Settings) -> None:
    token = token_of(settings)
    assert read_link(settings, token, NOW + 30 * DAY - timedelta(seconds=1)) == "c-1"
    with pytest.raises(LinkExpired) as caught:
        read_link(settings, token, NOW + 30 * DAY)
    assert caught.value.expired_at == NOW + 30 * DAY


def test_every_truncation_is_refused(settings: Settings) -> None:
    token = token_of(settings)
    for length in range(len(token)):
        with pytest.raises(LinkInvalid):
            read_link(settings, token[:length], NOW)


def test_every_change_of_a_character_is_refused(settings: Settings) -> None:
    token = token_of(settings)
    for position, there in enumerate(token):
        for other in ALPHABET.replace(there, ""):
            with pytest.raises(LinkInvalid):
                read_link(settings, token[:position] + other + token[position + 1 :], NOW)


@pytest.mark.parametrize("token", ["", ".", "a", "a.b", "é.é", "x" * 5000, "." * 2000, "\x00.\x00"])
def test_what_was_never_a_token_is_refused(settings: Settings, token: str) -> None:
    with pytest.raises(LinkInvalid):
        read_link(settings, token, NOW)


def test_a_token_of_another_server_is_refused(settings: Settings) -> None:
    other = settings.model_copy(update={"secret_key": Settings(secret_key="another secret key").secret_key})  # type: ignore[arg-type]
    with pytest.raises(LinkInvalid):
        read_link(settings, token_of(other), NOW)


def test_a_signature_for_another_purpose_is_refused(settings: Settings) -> None:
    payload = token_of(settings).rpartition(".")[0]
    assert settings.secret_key is not None
    for salt in ("session", PURPOSE + "x"):
        signer = Signer(settings.secret_key.get_secret_value(), salt=salt, key_derivation="hmac")
        with pytest.raises(LinkInvalid):
            read_link(settings, signer.sign(payload).decode(), NOW)


def test_the_two_parts_of_two_links_do_not_make_a_third(settings: Settings) -> None:
    mine, theirs = token_of(settings, "c-1"), token_of(settings, "c-2")
    with pytest.raises(LinkInvalid):
        read_link(settings, theirs.rpartition(".")[0] + "." + mine.rpartition(".")[2], NOW)


def survey_token_of(settings: Settings, customer_id: str = "c-1", survey_id: str = "nps-2026q4") -> str:
    url = make_survey_link(settings, customer_id, survey_id, NOW + DAY)
    assert url.startswith("https://shop.example/rewards/s/")
    return urlsplit(url).path.rpartition("/")[2]


@pytest.mark.parametrize("customer_id", ["c-1", "Zoë/7?&#", "\N{GRINNING FACE}" * 128, '"\\' * 64])
def test_a_surveys_link_says_who_answers_what(settings: Settings, customer_id: str) -> None:
    token = survey_token_of(settings, customer_id, "w" * 64)
    assert len(token) <= LONGEST_TOKEN
    assert read_survey_link(settings, token, NOW) == (customer_id, "w" * 64)


def test_a_surveys_link_works_until_its_last_moment(settings: Settings) -> None:
    token = survey_token_of(settings)
    assert read_survey_link(settings, token, NOW + DAY - timedelta(seconds=1)) == ("c-1", "nps-2026q4")
    with pytest.raises(LinkExpired):
        read_survey_link(settings, token, NOW + DAY)


def test_every_change_of_a_surveys_link_is_refused(settings: Settings) -> None:
    token = survey_token_of(settings)
    for position, there in enumerate(token):
        for changed in (
            token[:position],
            *(token[:position] + c + token[position + 1 :] for c in "Aa0.-" if c != there),
        ):
            with pytest.raises(LinkInvalid):
                read_survey_link(settings, changed, NOW)


def test_a_link_opens_no_page_of_another_kind(settings: Settings) -> None:
    with pytest.raises(LinkInvalid):
        read_survey_link(settings, token_of(settings), NOW)
    with pytest.raises(LinkInvalid):
        read_link(settings, survey_token_of(settings), NOW)
    assert settings.secret_key is not None
    for purpose, payload, read in [
        (PURPOSE, survey_token_of(settings).rpartition(".")[0], read_link),
        (SURVEY_PURPOSE, token_of(settings).rpartition(".")[0], read_survey_link),
    ]:
        signer = Signer(
            settings.secret_key.get_secret_value(), salt=purpose, key_derivation="hmac", digest_method=sha256
        )
        with pytest.raises(LinkInvalid, match="not a link's content"):
            read(settings, signer.sign(payload).decode(), NOW)
