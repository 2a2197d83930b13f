"""`python -m meta_pipeline_tests.faults`, which `make test-faults` calls; what it does is in `whole_run`."""

import argparse
import sys

from meta_pipeline_tests.faults.document import MINUTES
from meta_pipeline_tests.faults.whole_run import DEPTHS, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m meta_pipeline_tests.faults")
    parser.add_argument("--depth", choices=sorted(DEPTHS), default="deep")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="what is not done by then counts as failed")
    asked = parser.parse_args()
    sys.exit(run(asked.depth, minutes=asked.minutes))
