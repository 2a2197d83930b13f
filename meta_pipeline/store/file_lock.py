"""Locks between processes, held on a file and dropped by the kernel however their holder dies."""

import contextlib
import os
import time
from pathlib import Path

_POLL_SECONDS = 0.05


class FileLock:
    """One process's hold on a file: shared with others, or exclusive. Not for Windows.

    A forked child shares its parent's hold, which then lasts until both are gone.

    Parameters
    ----------
    path
        The file that stands for what is locked.
    create
        Make it if it is not there; otherwise taking the lock raises FileNotFoundError.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self._flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        self._descriptor: int | None = None

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if it is free; say whether it was."""
        return self._take(shared=shared, wait=False)

    def acquire(self, *, shared: bool = False, seconds: float | None = None) -> None:
        """Take the lock, waiting for it; `seconds` None waits for ever.

        Raises
        ------
        TimeoutError
            If it is still held by somebody else after `seconds`.
        """
        if seconds is None:
            self._take(shared=shared, wait=True)
            return
        deadline = time.monotonic() + seconds
        while not self.try_acquire(shared=shared):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} is still held by another process after {seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def _take(self, *, shared: bool, wait: bool) -> bool:
        import fcntl

        if self._descriptor is not None:
            raise RuntimeError(f"{self.path} is already held by this object")
        operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        descriptor = os.open(self.path, self._flags, 0o600)
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def write(self, text: str) -> None:
        """Put a text into the file that is held, in place of what is there."""
        assert self._descriptor is not None, "the lock is not held"
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def close(self) -> None:
        """Let go. Only this process's descriptor is closed: a forked child keeps its hold."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)
