"""meta_pipeline: the governed feedback loop of systematic trading.

Backtest runs become evidence, evidence becomes proposals, a person approves them
through a gate, an approved change is applied in one transaction, and can be undone.
"""

__version__ = "0.1.0"
