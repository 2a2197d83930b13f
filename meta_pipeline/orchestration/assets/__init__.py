"""The assets, one per file: call a stage, write through the store, return what a person wants to see."""
