"""The process that stops the embedded server when its last user was killed: see `embedded.keep`."""

import sys
from pathlib import Path

from meta_pipeline.store.embedded import keep

if __name__ == "__main__":
    keep(Path(sys.argv[1]))
