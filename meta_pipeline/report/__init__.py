"""Records -> tables, charts and documents: one renderer for Dagster's metadata, the report files and the web pages."""
