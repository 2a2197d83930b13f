"""The `meta-pipeline` command. Thin: parse, call the stage or the store, show the answer."""
