"""Hyperband over trading strategies: brackets, the search and its ledger, evaluators, honesty gates."""
