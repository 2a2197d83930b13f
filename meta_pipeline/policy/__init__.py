"""The risk policy: how much risk the live book may take now, and which strategies may take it.

Belongs here: health, risk mode, scores, selection, weights, the signed document, and the client that executors
import. Does not belong here: where fills and policies are kept (store), who asks (orchestration, api, cli).

Whatever is missing, stale, or no number makes the policy tighter, never looser.
"""
