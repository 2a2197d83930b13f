"""The HTTP API: the same services as the command line and Dagster, over REST, with metrics and documentation.

Belongs here: HTTP. Does not belong here: rules (they hold in the services, whoever calls) and SQL (store).
"""
