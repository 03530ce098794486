"""What an operator may set, and what is said when it is wrong."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rewards.core.errors import SetupError
from rewards.core.settings import load_settings, secret_key

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()
    assert settings.is_embedded
    assert (settings.home, settings.currency, settings.timezone) == (Path(".rewards"), "USD", "UTC")


def test_the_environment_wins_over_the_file(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_directory / "rewards.toml").write_text('currency = "GBP"\ntimezone = "Europe/London"\n')
    monkeypatch.setenv("REWARDS_CURRENCY", "EUR")
    settings = load_settings()
    assert (settings.currency, settings.timezone) == ("EUR", "Europe/London")


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDS_DATABASE_URL", "")
    monkeypatch.setenv("REWARDS_SECRET_KEY", "")
    settings = load_settings()
    assert settings.is_embedded
    assert settings.secret_key is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("CURRENCY", "XYZ", "must be an ISO 4217 code"),
        ("CURRENCY", "usd", "must be an ISO 4217 code"),
        ("TIMEZONE", "Mars/Olympus", "must be a time zone's name"),
        ("TIMEZONE", "../etc/passwd", "must be a time zone's name"),
        ("LOG_FORMAT", "xml", "is not valid"),
        ("PUBLIC_URL", "shop.test", "must be an address such as"),
        ("SECRET_KEY", "short", "must have at least 16 characters"),
    ],
)
def test_a_wrong_value_is_named_in_one_line_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"REWARDS_{name}", value)
    with pytest.raises(SetupError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"The setting REWARDS_{name} {reason}")
    assert "\n" not in message
    assert value not in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("curency = 'GBP'", "there is no setting called 'curency'"),
        ("currency = ", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(
    working_directory: Path, content: str | bytes, reason: str
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (working_directory / "rewards.toml").write_bytes(data)
    with pytest.raises(SetupError, match=f"^rewards.toml: there|^rewards.toml {reason}") as caught:
        load_settings()
    assert reason in str(caught.value)


def test_secrets_do_not_show_in_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDS_DATABASE_URL", "postgresql://shop:hunter2hunter2@db/rewards")
    monkeypatch.setenv("REWARDS_SECRET_KEY", "correct horse battery staple")
    shown = repr(load_settings())
    assert "hunter2" not in shown
    assert "horse" not in shown


def test_the_embedded_databases_key_is_made_once_and_kept_private(working_directory: Path) -> None:
    settings = load_settings(home=working_directory / "home")
    key = secret_key(settings)
    assert len(key) >= 32
    assert secret_key(settings) == key
    assert stat.S_IMODE((working_directory / "home" / "secret_key").stat().st_mode) == 0o600


MAKE_KEY = """
import sys
from rewards.core.settings import load_settings, secret_key
print(secret_key(load_settings(home=sys.argv[1])))
"""


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE_KEY, str(tmp_path / "home")]
    children = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    keys = {child.communicate()[0].strip() for child in children}
    assert len(keys) == 1
    assert len(keys.pop()) >= 32


def test_a_key_that_was_set_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDS_SECRET_KEY", "correct horse battery staple")
    assert secret_key(load_settings()) == "correct horse battery staple"


def test_your_own_database_needs_a_key_of_yours() -> None:
    with pytest.raises(SetupError, match=r"^Set REWARDS_SECRET_KEY"):
        secret_key(load_settings(database_url="postgresql://db/rewards"))


def test_a_key_that_cannot_be_kept_is_said_in_one_line(working_directory: Path) -> None:
    (working_directory / "file").write_text("in the way")
    with pytest.raises(SetupError, match="cannot be kept"):
        secret_key(load_settings(home=working_directory / "file"))
