"""Who the made-up shop's customers are: invented names at a domain that nobody has. Pure, and always the same."""

from datetime import date, timedelta
from random import Random

from rewards.demo.shop import SEED
from rewards.profiles.profile import Profile, folded

_FIRST = (
    "Ada", "Amara", "Arlo", "Bea", "Bram", "Cleo", "Dai", "Edda", "Elin", "Emre", "Esme", "Fenn", "Freya", "Gil",
    "Hana", "Idris", "Ines", "Iris", "Ivo", "Jun", "Kaya", "Kit", "Lena", "Linus", "Mabel", "Maeve", "Milo", "Nadia",
    "Nell", "Noor", "Olek", "Orla", "Otis", "Pia", "Priya", "Quinn", "Rafe", "Rhea", "Rui", "Saffi", "Sol", "Tamsin",
    "Théo", "Uma", "Vera", "Wren", "Yara", "Zoë",
)  # fmt: skip
_LAST = (
    "Alderwick", "Ashgrove", "Birchfall", "Brambleby", "Cloverley", "Copperfield", "Dandelyn", "Elderfen", "Fernhollow",
    "Figtree", "Foxglove", "Gooseberry", "Hawthornby", "Heatherdale", "Hollyoak", "Ivyson", "Juniper", "Larkspur",
    "Marigold", "Meadowes", "Mossgrave", "Nettleship", "Oakapple", "Pennyroyal", "Quincey", "Rosehip", "Sorrel",
    "Tanglewood", "Teasdale", "Thistleton", "Verbena", "Willowby", "Yarrowe",
)  # fmt: skip
#: Born between these days, which makes the youngest of age when the shop opened.
_FIRST_BORN, _DAYS_BORN = date(1948, 1, 1), 20_400


def profile_of(customer_id: str) -> Profile:
    """Return who a customer is; the same id is the same person. A few leave no birthday, or not its year."""
    random = Random(f"{SEED}:{customer_id}")  # noqa: S311 - people who are the same each time, not a secret
    first, last = random.choice(_FIRST), random.choice(_LAST)
    born = (_FIRST_BORN + timedelta(days=random.randrange(_DAYS_BORN))).isoformat()
    number = customer_id.rpartition("-")[2]
    return Profile(
        name=f"{first} {last}",
        email=f"{folded(first)}.{folded(last)}.{number}@example.com",
        birthday=random.choices((born, born[5:], None), (6, 2, 2))[0],
    )


def tags_of(customer_id: str) -> list[str]:
    """Return the tags that the shop gave a customer; most have none."""
    number = int(customer_id.rpartition("-")[2])
    return [
        tag for tag, every in (("press", 211), ("tea-tasting", 29), ("wholesale", 43)) if number % every == 5
    ]
