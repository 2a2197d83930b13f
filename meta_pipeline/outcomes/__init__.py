"""What a change really did: judged against the old configuration on the same days, by a rule fixed beforehand.

Pure: days, intervals, guardrails and verdicts. Which days, and what is written down, is up to `store`.
"""
