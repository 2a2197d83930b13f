"""Benchmarks: one file or one package each."""
