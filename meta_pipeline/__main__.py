"""`python -m meta_pipeline` is the `meta-pipeline` command."""

from meta_pipeline.cli.main import main

main()
