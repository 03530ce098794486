"""What tests of the API ask for."""

from collections.abc import Iterator

import pytest
from api_shop import Shop, make_keys, open_shop

from rewards.core.database import Database
from rewards.core.keys import Scope
from rewards.core.settings import Settings


@pytest.fixture
def keys(database: Database) -> dict[Scope, str]:
    """An API key of each scope."""
    return make_keys(database)


@pytest.fixture
def shop(settings: Settings, keys: dict[Scope, str]) -> Iterator[Shop]:
    """A caller of the application, which runs on a database of this test's own."""
    with open_shop(settings, keys) as shop:
        yield shop
