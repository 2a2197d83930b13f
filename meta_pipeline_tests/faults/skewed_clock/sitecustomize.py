"""Read by Python before anything else where this folder is on PYTHONPATH: this machine's clock is wrong by an offset.

META_PIPELINE_TESTS_CLOCK_OFFSET is in seconds. Both clocks that say what time it is are moved: time.time, and now of
datetime. A clock of intervals (time.monotonic) is none of them.
"""

import datetime
import os
import time
from typing import Any

_OFFSET = float(os.environ["META_PIPELINE_TESTS_CLOCK_OFFSET"])
_true_time, _true_datetime = time.time, datetime.datetime


class _Anything(type):
    def __instancecheck__(cls, one: Any) -> bool:
        return isinstance(one, _true_datetime)

    def __subclasscheck__(cls, one: type) -> bool:
        return issubclass(one, _true_datetime)


class _Skewed(_true_datetime, metaclass=_Anything):  # type: ignore[misc, valid-type]
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _true_datetime.now(tz) + datetime.timedelta(seconds=_OFFSET)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


def _skewed_time() -> float:
    return _true_time() + _OFFSET


# Code that is generated from annotations, as Dagster's, finds a type by its name.
_Skewed.__name__ = _Skewed.__qualname__ = "datetime"
_Skewed.__module__ = "datetime"
time.time = _skewed_time
datetime.datetime = _Skewed  # type: ignore[misc]
