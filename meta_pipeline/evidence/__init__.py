"""Statistics on return series: metrics, contrasts, multiplicity, stability.

Pure functions of arrays (numpy, scipy). Nothing here knows a database, Dagster, the clock or
the environment, and every random draw comes from a generator that the caller passed in.
Public functions take arrays as days x runs.
"""
