"""Passwords: hashed by Argon2id, which is slow and takes memory on purpose, so that guessing is dear.

A hash takes some fifty milliseconds of a core; in a server it belongs into a thread.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MINIMUM_LENGTH = 12
#: Longer ones are refused rather than cut; hashing a megabyte would keep the server busy.
MAXIMUM_LENGTH = 200


class PasswordRefused(ValueError):
    """The password cannot be taken; the message says why, to whoever chose it."""


def check_password(password: str, *known: str) -> None:
    """See whether a password may be chosen.

    Args:
        password: what was chosen.
        known: what everybody knows of its owner, such as the e-mail address; a password must be none of it.

    Raises:
        PasswordRefused: it may not.
    """
    if len(password) < MINIMUM_LENGTH:
        raise PasswordRefused(f"Choose a password of at least {MINIMUM_LENGTH} characters.")
    if len(password) > MAXIMUM_LENGTH:
        raise PasswordRefused(f"Choose a password of at most {MAXIMUM_LENGTH} characters.")
    if len(set(password)) < 5:
        raise PasswordRefused("Choose a password with more different characters.")
    if password.strip().casefold() in {each.strip().casefold() for each in known}:
        raise PasswordRefused("Choose a password that is not your name or e-mail address.")


def hash_password(password: str) -> str:
    """Return the hash that is stored."""
    return _hasher().hash(password)


def is_password(stored: str | None, password: str) -> bool:
    """Say whether a password is the one that was hashed; None, nobody's hash, takes as long as any and is False."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _hasher().verify(_nobodys() if stored is None else stored, password[: MAXIMUM_LENGTH + 1])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Say whether a hash was made with other parameters than are used today, and is to be made anew."""
    return _hasher().check_needs_rehash(stored)


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys() -> str:
    return _hasher().hash("a password that nobody has")
