"""What tests of the admin pages ask for."""

from collections.abc import Iterator

import pytest
from office import Browser, Office, serving, staff

from rewards.core.database import Database
from rewards.core.settings import Settings


@pytest.fixture
def office(settings: Settings, database: Database) -> Iterator[Office]:
    """A running server, on a database of this test's own, with an admin of each role."""
    with serving(settings) as base:
        yield Office(base, settings, database, staff(database))


@pytest.fixture
def stranger(office: Office) -> Iterator[Browser]:
    """A browser in which nobody is signed in."""
    with office.browser() as browser:
        yield browser


@pytest.fixture
def owner(office: Office) -> Iterator[Browser]:
    """A browser in which an owner is signed in."""
    with office.browser("owner") as browser:
        yield browser
