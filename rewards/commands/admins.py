"""`rewards admin`: the logins of those who run the program."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.commands.console import open_database, say, table
from rewards.core.clock import utc_now
from rewards.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from rewards.admins.accounts import AdminAccount

app = typer.Typer(no_args_is_help=True, help="Make, list and disable admins' logins.")

#: How the audit log calls whoever can run commands on the server.
WHO = "(command line)"


class Role(StrEnum):
    """What an admin may do."""

    owner = "owner"
    editor = "editor"
    support = "support"
    viewer = "viewer"


EmailArgument = Annotated[str, typer.Argument(help="The admin's e-mail address.", show_default=False)]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, its first line.")
]


@app.command()
def create(
    email: EmailArgument,
    password_stdin: StdinOption = False,
    role: Annotated[
        Role,
        typer.Option(help="owner: everything; editor: the program; support: customers; viewer: look."),
    ] = Role.owner,
    name: Annotated[
        str | None, typer.Option(help="The person's name; what stands before the @ if not given.")
    ] = None,
) -> None:
    """Make an admin's login; the password is asked for twice, or read from standard input."""
    from rewards.admins.accounts import create_admin, normal_email
    from rewards.admins.audit import record

    with open_database() as database:
        address = _allowed(lambda: normal_email(email))
        hashed = _chosen_hash(password_stdin, address, name or "")
        now = utc_now()

        def work(conn: "Connection") -> "AdminAccount":
            made = create_admin(
                conn, email=address, name=name or "", role=role.value, password_hash=hashed, now=now
            )
            detail = {"email": made.email, "role": made.role}
            subject = f"admin:{made.admin_id}"
            record(conn, admin=None, action="admin.created", subject=subject, detail=detail, now=now, who=WHO)
            return made

        with database.engine.begin() as connection:
            made = _allowed(lambda: work(connection))
        say(f"{made.email} may sign in as {made.role}: {database.settings.public_url}/admin")


@app.command("list")
def list_() -> None:
    """List all admins, disabled ones too."""
    from rewards.admins.accounts import list_admins

    with open_database() as database, database.engine.connect() as connection:
        admins = list_admins(connection)
    if not admins:
        say("There are no admins; make one with: rewards admin create EMAIL")
        return
    rows = [("E-MAIL", "ROLE", "STATE", "SIGNED IN", "NAME")]
    rows += [
        (
            admin.email,
            admin.role,
            "disabled" if admin.disabled_at else "active",
            f"{admin.signed_in_at:%Y-%m-%d %H:%MZ}" if admin.signed_in_at else "never",
            admin.name,
        )
        for admin in admins
    ]
    print(table(rows))


@app.command()
def disable(email: EmailArgument) -> None:
    """Let an admin sign in no more, and sign them out everywhere."""
    from rewards.admins.accounts import disable_admin

    _changed(email, "admin.disabled", {}, lambda conn, it: disable_admin(conn, it.admin_id, utc_now()))
    say("Disabled, and signed out everywhere.")


@app.command()
def enable(email: EmailArgument) -> None:
    """Let a disabled admin sign in again."""
    from rewards.admins.accounts import enable_admin

    _changed(email, "admin.enabled", {}, lambda conn, it: enable_admin(conn, it.admin_id))
    say("May sign in again.")


@app.command("set-role")
def set_role_(
    email: EmailArgument, role: Annotated[Role, typer.Argument(help="The new role.", show_default=False)]
) -> None:
    """Give an admin another role, at once."""
    from rewards.admins.accounts import set_role

    detail = {"role": role.value}
    _changed(email, "admin.role-changed", detail, lambda conn, it: set_role(conn, it.admin_id, role.value))
    say(f"Is {role.value} now.")


@app.command("set-password")
def set_password_(email: EmailArgument, password_stdin: StdinOption = False) -> None:
    """Give an admin another password, sign them out everywhere, and let them try again at once."""
    from rewards.admins.accounts import find_admin, set_password
    from rewards.admins.lockout import forgive

    with open_database() as database, database.engine.connect() as connection:
        if find_admin(connection, email) is None:
            raise SetupError(_unknown(email))
    hashed = _chosen_hash(password_stdin, email)

    def work(conn: "Connection", account: "AdminAccount") -> None:
        set_password(conn, account.admin_id, hashed, utc_now())
        forgive(conn, account.email)

    _changed(email, "admin.password-reset", {}, work)
    say("Changed, and signed out everywhere.")


def _changed(
    email: str,
    action: str,
    detail: dict[str, Any],
    change: "Callable[[Connection, AdminAccount], object]",
) -> None:
    """Make a change to an admin and write it into the audit log, in one transaction."""
    from rewards.admins.accounts import find_admin
    from rewards.admins.audit import record

    with open_database() as database, database.engine.begin() as connection:
        account = find_admin(connection, email)
        if account is None:
            raise SetupError(_unknown(email))
        found = account
        _allowed(lambda: change(connection, found))
        record(
            connection,
            admin=None,
            action=action,
            subject=f"admin:{found.admin_id}",
            detail={"email": found.email, **detail},
            now=utc_now(),
            who=WHO,
        )


def _unknown(email: str) -> str:
    return f"There is no admin {email[:80]}; `rewards admin list` shows them"


def _allowed(work: "Callable[[], Any]") -> Any:
    """Return what ``work`` returns; where it is refused, say so in a line."""
    from rewards.admins.accounts import AdminRefused

    try:
        return work()
    except AdminRefused as refused:
        raise SetupError(str(refused).rstrip(".")) from None


def _chosen_hash(from_stdin: bool, *known: str) -> str:
    """Return the hash of a password that the person gives."""
    from rewards.admins.passwords import PasswordRefused, check_password, hash_password

    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        raise SetupError("There is nobody to ask for a password: use --password-stdin")
    try:
        check_password(password, *known)
    except PasswordRefused as refused:
        raise SetupError(str(refused).rstrip(".")) from None
    return hash_password(password)
