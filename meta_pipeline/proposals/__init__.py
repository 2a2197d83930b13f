"""Candidates, their rationale, and the rules of decisions, apply and revert.

Pure: states, digests, checks and numbers. What writes them down is `store`.
"""
