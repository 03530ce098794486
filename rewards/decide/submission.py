"""A command on its way to the ledger, with who sent it and under which key."""

from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

from pydantic_core import to_json

from rewards.decide.commands import KINDS, Award, Command

#: Clocks of a shop and of the engine may differ by this much before an activity counts as future.
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(slots=True)
class Submission:
    """One command to decide.

    Attributes:
        command: what is asked.
        idempotency_key: names this request for its customer for ever; None only for what is idempotent by
            nature (settling what is due).
        actor: who asks, such as ``key:3f2a`` or ``import``; stored on the entries.
        remember_refusal: whether a refusal is the key's answer for ever. An import says no, so that a file
            can be run again once what it lacked is there.
    """

    command: Command
    idempotency_key: str | None
    actor: str
    remember_refusal: bool = True
    _activity_json: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def kind(self) -> str:
        """The command's stored name, such as ``award``."""
        return KINDS[type(self.command)]

    def activity_json(self) -> str:
        """Return an award's activity as compact JSON, without what is as by default."""
        if self._activity_json is None:
            assert isinstance(self.command, Award)
            self._activity_json = self.command.activity.model_dump_json(exclude_defaults=True)
        return self._activity_json

    def input_hash(self) -> bytes:
        """Return the SHA-256 by which a repeat is told from another request under the same key.

        Members that are as by default do not count, so that a later version with more members still knows the
        request.
        """
        command = self.command
        if isinstance(command, Award):
            head = to_json([self.kind, command.customer_id, command.occurred_at])
            return sha256(head + self.activity_json().encode()).digest()
        return sha256(self.kind.encode() + command.model_dump_json(exclude_defaults=True).encode()).digest()
