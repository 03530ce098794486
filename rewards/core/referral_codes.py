"""Codes that customers give to friends: random, and easy to read out."""

import secrets

#: Without digits and letters that are taken for one another (0 and O, 1 and I and L).
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
#: 31 to the power of 12: 59 bits, of which no shop's codes are more than a trace.
LENGTH = 12
_GROUP = 4


def make_code() -> str:
    """Return a new code, as it is kept: without dashes."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def written(code: str) -> str:
    """Return a code as people are shown it: ``7KQM-2RTX-PWHD``."""
    return "-".join(code[start : start + _GROUP] for start in range(0, LENGTH, _GROUP))


def read_code(text: str) -> str:
    """Return what a person may have meant by a code, as it is kept: case, dashes and spaces do not matter."""
    return "".join(text.split()).replace("-", "").upper()
