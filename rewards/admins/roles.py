"""What each role may do. A role may all that the one below it may."""

from typing import Literal, get_args

Role = Literal["owner", "editor", "support", "viewer"]
Permission = Literal[
    "view",
    "customer.adjust",
    "customer.grant",
    "customer.link",
    "customer.export",
    "referral.judge",
    "program.edit",
    "program.publish",
    "customer.erase",
    "keys.manage",
    "admins.manage",
    "jobs.run",
]

#: From the one that may most to the one that may least.
ROLES: tuple[Role, ...] = get_args(Role)
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

#: The least role that may do something.
_NEEDED: dict[Permission, Role] = {
    "view": "viewer",
    "customer.adjust": "support",
    "customer.grant": "support",
    "customer.link": "support",
    "customer.export": "support",
    "referral.judge": "support",
    "program.edit": "editor",
    "program.publish": "editor",
    "customer.erase": "owner",
    "keys.manage": "owner",
    "admins.manage": "owner",
    "jobs.run": "owner",
}

MEANINGS: dict[Role, str] = {
    "owner": "May do everything: admins, API keys, jobs, and erasing a customer's personal data.",
    "editor": "Runs the program: edits and publishes it, and all that support may do.",
    "support": "Answers customers: adjusts points, grants standing, sends links, judges referrals.",
    "viewer": "Looks at everything and changes nothing.",
}


def allows(role: Role, permission: Permission) -> bool:
    """Say whether somebody of that role may do that."""
    return ROLES.index(role) <= ROLES.index(_NEEDED[permission])


def least_role(permission: Permission) -> Role:
    """Return the role that one needs at least."""
    return _NEEDED[permission]
