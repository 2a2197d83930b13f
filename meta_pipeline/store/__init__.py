"""SQL in, records out: every statement of the project and every transaction lives here.

Belongs here: one module per stage that reads and writes its tables, and the database itself
(`open_database`, `Database`). Does not belong here: a decision (stages) or a screen (report, cli).
"""
