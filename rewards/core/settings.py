"""What an operator sets: variables ``REWARDS_*``, or a file ``rewards.toml`` in the working directory."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rewards.core.errors import SetupError

TOML_FILE = "rewards.toml"
MINIMUM_SECRET_LENGTH = 16


def _empty_is_unset(value: Any) -> Any:
    """``REWARDS_DATABASE_URL=`` in a compose file means: not set."""
    return None if isinstance(value, str) and not value.strip() else value


def _check_currency(code: str) -> str:
    # The table of currencies takes a moment to load, so the default needs no look-up.
    if code != "USD":
        from rewards.core.money import known_currency

        if not known_currency(code):
            raise ValueError("must be an ISO 4217 code in capitals, such as USD or GBP")
    return code


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("must be a time zone's name, such as UTC or Europe/London") from error
    return name


def _check_public_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://rewards.example.com")
    return url.rstrip("/")


def _check_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret.get_secret_value()) < MINIMUM_SECRET_LENGTH:
        raise ValueError(f"must have at least {MINIMUM_SECRET_LENGTH} characters")
    return secret


class Settings(BaseSettings):
    """The operator's settings. An environment variable wins over ``rewards.toml``.

    Attributes:
        database_url: your own PostgreSQL (15 or newer); None starts the embedded one.
        home: folder of the embedded database and of the secret key that is made for it.
        secret_key: signs links and sessions; see :func:`secret_key`.
        currency: ISO 4217 code that a new database's starter program is in.
        timezone: time zone of the starter program.
        log_format: ``json`` for machines, ``console`` for people.
        public_url: where customers reach this server; links to pages begin with it. No trailing slash.
        link_life_days: how long the address of a customer's page works.
        proxies: how many proxies stand before the server, each of which adds to ``X-Forwarded-For``.
    """

    model_config = SettingsConfigDict(
        env_prefix="REWARDS_", toml_file=TOML_FILE, extra="forbid", validate_default=False, frozen=True
    )

    database_url: Annotated[SecretStr | None, BeforeValidator(_empty_is_unset)] = None
    home: Path = Path(".rewards")
    secret_key: Annotated[
        SecretStr | None, BeforeValidator(_empty_is_unset), AfterValidator(_check_secret)
    ] = None
    currency: Annotated[str, AfterValidator(_check_currency)] = "USD"
    timezone: Annotated[str, AfterValidator(_check_timezone)] = "UTC"
    log_format: Literal["json", "console"] = "console"
    public_url: Annotated[str, AfterValidator(_check_public_url), Field(max_length=500)] = (
        "http://127.0.0.1:8000"
    )
    link_life_days: Annotated[int, Field(ge=1, le=3650)] = 30
    proxies: Annotated[int, Field(ge=0, le=10)] = 0

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the embedded one, under ``home``."""
        return self.database_url is None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then ``rewards.toml``."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings, or raise a :class:`SetupError` that names the first one that is wrong.

    Values are never repeated in the message: one of them may be a password.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        if first["type"] == "extra_forbidden":
            raise SetupError(f"{TOML_FILE}: there is no setting called {name!r}") from None
        reason = first["msg"].removeprefix("Value error, ")
        raise SetupError(f"The setting REWARDS_{name.upper()} {_as_predicate(reason)}") from None
    except (OSError, ValueError) as error:  # an unreadable file, or text that is not TOML
        raise SetupError(f"{TOML_FILE} cannot be read: {str(error).splitlines()[0]}") from None


def _as_predicate(reason: str) -> str:
    return reason if reason.startswith("must ") else f"is not valid: {reason}"


def secret_key(settings: Settings) -> str:
    """Return the key that signs links and sessions.

    With the embedded database a random one is made under ``home`` at first use and kept; processes that
    start together agree on it. With your own database it must be set, so that every server has the same.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    if not settings.is_embedded:
        raise SetupError(
            "Set REWARDS_SECRET_KEY (32 random characters or more): with REWARDS_DATABASE_URL every server"
            " must sign links with the same key"
        )
    path = settings.home / "secret_key"
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        return _kept_secret(path)
    except OSError as error:
        raise SetupError(f"The secret key {path} cannot be kept: {error.strerror}") from None


def _kept_secret(path: Path) -> str:
    """Read the secret, making it first where there is none; a lock on the file lets one process make it."""
    import fcntl  # only where the embedded database runs, which is not on Windows

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(OSError):  # someone else's file keeps the mode that they gave it
            os.fchmod(file.fileno(), 0o600)
        secret = file.read().strip()
        if len(secret) < MINIMUM_SECRET_LENGTH:  # new, or cut short by a crash before anyone used it
            secret = secrets.token_urlsafe(32)
            file.seek(0)
            file.truncate()
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        return secret
