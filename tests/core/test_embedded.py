"""The embedded server's life cycle, on servers of these tests' own, with real kills."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from rewards.core import server_files
from rewards.core.embedded import EmbeddedServer, binary
from rewards.core.errors import SetupError

REPOSITORY = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0

CHILD = """
import sys
from pathlib import Path
from rewards.core.embedded import embedded_server
server = embedded_server(Path(sys.argv[1]))
server.ensure_running()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short-named folder of this test's own, emptied of servers and files at the end."""
    path = Path(tempfile.mkdtemp(prefix="rewards-home-"))
    yield path
    for home in {
        found.parent for found in path.rglob("postgres") if found.name == "postgres" and found.is_dir()
    }:
        EmbeddedServer(home).stop_if_unused()
    shutil.rmtree(path)


@pytest.fixture
def open_server() -> Iterator[Callable[[Path], EmbeddedServer]]:
    opened: list[EmbeddedServer] = []

    def open_(home: Path) -> EmbeddedServer:
        opened.append(EmbeddedServer(home))
        return opened[-1]

    yield open_
    for server in opened:
        server.close()


@pytest.fixture
def server(folder: Path, open_server: Callable[[Path], EmbeddedServer]) -> EmbeddedServer:
    server = open_server(folder / "home")
    server.ensure_running()
    return server


def ask(server: EmbeddedServer, question: str, user: str = "rewards") -> object:
    with psycopg.connect(server.conninfo("rewards", user), autocommit=True) as connection:
        cursor = connection.execute(question)  # type: ignore[call-overload]
        return cursor.fetchone()[0] if cursor.description else None


def kill(server: EmbeddedServer) -> int:
    """Kill the server's first process, wait until it and its children are gone, and return its number."""
    process = server.postmaster()
    assert process is not None
    family = [process, *process.children(recursive=True)]
    process.kill()
    deadline = time.monotonic() + 20
    while any(alive(member) for member in family):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process.pid


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def child(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def test_everything_acknowledged_is_on_disk(server: EmbeddedServer) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert ask(server, f"SHOW {setting}") == "on"
    assert ask(server, "SHOW jit") == "off"
    assert (
        ask(server, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'rewards'")
        == "UTF8"
    )


def test_the_engine_is_no_superuser(server: EmbeddedServer) -> None:
    assert ask(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_nobody_else_can_reach_it(server: EmbeddedServer) -> None:
    assert ask(server, "SHOW listen_addresses") == ""
    assert ask(server, "SHOW unix_socket_permissions") == "0700"
    for private in (server.root, server.data, server.root / "run"):
        assert stat.S_IMODE(private.stat().st_mode) & 0o077 == 0


def test_the_data_outlives_the_server(server: EmbeddedServer) -> None:
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.close()
    assert server.postmaster() is None
    server.ensure_running()
    assert ask(server, "SELECT answer FROM kept") == 42


def test_a_killed_server_is_revived_with_what_was_committed(server: EmbeddedServer) -> None:
    ask(server, "CREATE TABLE kept (number int)")
    for number in range(3):
        ask(server, f"INSERT INTO kept VALUES ({number})")
        server.postmaster().kill()  # type: ignore[union-attr]
        server.ensure_running()
    assert ask(server, "SELECT array_agg(number ORDER BY number) FROM kept") == [0, 1, 2]


def test_every_process_of_it_may_be_killed(server: EmbeddedServer) -> None:
    ask(server, "CREATE TABLE kept AS SELECT 1 AS number")
    postmaster = server.postmaster()
    assert postmaster is not None
    for process in [*postmaster.children(recursive=True), postmaster]:
        with suppress(psutil.NoSuchProcess):  # the server sends the others away when one dies
            process.kill()
    server.ensure_running()
    assert ask(server, "SELECT number FROM kept") == 1


def test_a_dead_servers_number_that_another_process_has_now_is_no_obstacle(server: EmbeddedServer) -> None:
    kill(server)
    account = server._the_account()
    whose = {"user": account.uid, "group": account.gid, "extra_groups": []} if account.is_other else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **whose) as stranger:  # type: ignore[call-overload]
        path = server.data / "postmaster.pid"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        server.ensure_running()
        assert ask(server, "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("content", ["", "123", "nonsense\n"])
def test_a_pid_file_cut_short_by_a_crash_is_no_obstacle(server: EmbeddedServer, content: str) -> None:
    kill(server)
    (server.data / "postmaster.pid").write_text(content)
    server.ensure_running()
    assert ask(server, "SELECT 1") == 1


def test_a_child_that_does_not_notice_its_servers_death_is_sent_away(server: EmbeddedServer) -> None:
    busy = psycopg.connect(server.conninfo("rewards"), autocommit=True)
    backend = psutil.Process(busy.info.backend_pid)

    def spin() -> None:
        with pytest.raises(psycopg.OperationalError):
            busy.execute("DO 'BEGIN LOOP NULL; END LOOP; END'")

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        time.sleep(0.3)
        server.postmaster().kill()  # type: ignore[union-attr]
        server.ensure_running()
        assert ask(server, "SELECT 1") == 1
        assert not alive(backend)
    finally:
        if alive(backend):
            backend.kill()
        thread.join()
        busy.close()


def test_a_server_whose_socket_was_removed_is_restarted(server: EmbeddedServer) -> None:
    before = server.postmaster()
    for path in (server.root / "run").iterdir():
        path.unlink()
    server.ensure_running()
    assert ask(server, "SELECT 1") == 1
    assert server.postmaster() != before


def test_processes_share_one_server_and_the_last_one_out_stops_it(
    folder: Path, open_server: Callable[[Path], EmbeddedServer]
) -> None:
    observer = EmbeddedServer(folder)
    first, second = child(folder), child(folder)
    postmaster = observer.postmaster()
    assert postmaster is not None
    end(first)
    assert observer.postmaster() == postmaster
    end(second)
    assert observer.postmaster() is None


def test_processes_that_start_together_start_one_server(folder: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(folder)]
    children = [
        subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in children:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    log = EmbeddedServer(folder).log.read_text()
    assert log.count("database system is ready to accept connections") == 1
    for process in children:
        end(process)
    assert EmbeddedServer(folder).postmaster() is None


def test_a_killed_process_is_not_counted(folder: Path) -> None:
    observer = EmbeddedServer(folder)
    killed, orderly = child(folder), child(folder)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert observer.postmaster() is not None
    end(orderly)
    assert observer.postmaster() is None


def test_a_server_left_behind_by_a_killed_process_is_taken_over(
    folder: Path, open_server: Callable[[Path], EmbeddedServer]
) -> None:
    killed = child(folder)
    killed.kill()
    killed.communicate()
    server = open_server(folder)
    left = server.postmaster()
    assert left is not None
    server.ensure_running()
    assert server.postmaster() == left
    server.close()
    assert server.postmaster() is None


def test_a_forked_childs_exit_does_not_end_its_parents_lease(server: EmbeddedServer) -> None:
    pid = os.fork()
    if pid == 0:
        server.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert ask(server, "SELECT 1") == 1


@pytest.mark.parametrize(
    "name", ["a home with spaces, and a comma", "häuschen", "deep/" * 30 + "end", "it's 100%"]
)
def test_the_folder_may_have_any_name(
    folder: Path, open_server: Callable[[Path], EmbeddedServer], name: str
) -> None:
    server = open_server(folder / name)
    server.ensure_running()
    assert ask(server, "SELECT 1") == 1
    sockets = server._sockets
    server.close()
    again = open_server(folder / name)
    again.ensure_running()
    assert again._sockets == sockets
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    again.close()
    if not sockets.is_relative_to(folder):
        assert list(sockets.iterdir()) == []
        sockets.rmdir()


def test_a_name_that_the_shell_would_read_is_refused_in_one_line(
    folder: Path, open_server: Callable[[Path], EmbeddedServer]
) -> None:
    with pytest.raises(SetupError, match="REWARDS_HOME may not contain"):
        open_server(folder / "pay$HOME").ensure_running()


def test_a_folder_that_was_half_made_is_made_again(
    folder: Path, open_server: Callable[[Path], EmbeddedServer]
) -> None:
    server = open_server(folder)
    server._prepare_folder()
    (server.root / "data.partial" / "base").mkdir(parents=True)
    server.ensure_running()
    assert ask(server, "SELECT 1") == 1


def test_a_folder_removed_under_a_process_is_made_again(
    folder: Path, open_server: Callable[[Path], EmbeddedServer]
) -> None:
    home = folder / "home"
    server = open_server(home)
    server.ensure_running()
    kill(server)
    shutil.rmtree(home)
    server.ensure_running()
    other = child(home)
    end(other)
    assert ask(server, "SELECT 1") == 1


def test_an_unusable_home_is_said_in_one_line(
    folder: Path, open_server: Callable[[Path], EmbeddedServer]
) -> None:
    (folder / "file").write_text("in the way")
    with pytest.raises(SetupError, match="set REWARDS_HOME to another") as caught:
        open_server(folder / "file").ensure_running()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(IS_ROOT, reason="root may write anywhere")
def test_an_unwritable_home_is_said_in_one_line(
    folder: Path, open_server: Callable[[Path], EmbeddedServer]
) -> None:
    folder.chmod(0o500)
    with pytest.raises(SetupError, match="Permission denied"):
        open_server(folder / "home").ensure_running()
    folder.chmod(0o700)


def test_a_server_that_cannot_start_says_why(server: EmbeddedServer) -> None:
    server.close()
    (server.data / "postgresql.auto.conf").write_text("max_connections = 'many'\n")
    with pytest.raises(SetupError, match=r"did not start: .*server\.log\)$") as caught:
        server.ensure_running()
    assert "\n" not in str(caught.value)
    (server.data / "postgresql.auto.conf").write_text("")
    server.ensure_running()


@pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as someone else")
def test_root_runs_it_as_an_account_without_privileges(server: EmbeddedServer, folder: Path) -> None:
    postmaster = server.postmaster()
    assert postmaster is not None
    assert 0 not in postmaster.uids()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o701  # mkdtemp made it 0700


@pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as someone else")
def test_root_runs_an_ordinary_users_server_as_that_user(
    folder: Path, open_server: Callable[[Path], EmbeddedServer]
) -> None:
    home = folder / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    server = open_server(home)
    server.ensure_running()
    assert server.root.stat().st_uid == 65534
    assert server.postmaster().uids().real == 65534  # type: ignore[union-attr]


def test_postgresqls_own_programs_are_found(server: EmbeddedServer) -> None:
    said = subprocess.run([binary("psql"), "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("psql (PostgreSQL) 18")
    with pytest.raises(SetupError, match="set REWARDS_DATABASE_URL to a PostgreSQL 15 or newer"):
        binary("no-such-program")


def test_the_log_is_put_aside_when_it_is_large(folder: Path) -> None:
    log = folder / "server.log"
    log.write_bytes(b"x" * (server_files.LOG_LIMIT_BYTES + 1))
    server_files.rotate_log(log)
    assert [path.name for path in folder.iterdir()] == ["server.log.1"]
