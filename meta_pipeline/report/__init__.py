"""Records -> tables and pictures, shared by Dagster's metadata, the command line and, later, the pages."""
