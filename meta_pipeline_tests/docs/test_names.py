"""Variables, files and benchmarks that the documents name are there."""

import re

from meta_pipeline.settings import Settings
from meta_pipeline_tests.docs.pages import ROOT, pages, text_of

PLACES = ("meta_pipeline", "meta_pipeline_tests", "benchmarks", "scripts", "deploy", "sql", "examples", "dagster_home")
A_FILE = re.compile(
    rf"`(?:python )?((?:{'|'.join(PLACES)})/(?!\S*NNNN)[\w./-]*(?:\.[a-z]+|/))`"
)  # NNNN stands for a number


def test_every_variable_of_ours_is_a_setting() -> None:
    settings = {f"META_PIPELINE_{name.upper()}" for name in Settings.model_fields}
    named = {(page, name) for page in pages() for name in re.findall(r"META_PIPELINE_[A-Z_]*[A-Z]", text_of(page))}
    assert len(named) > 60
    assert sorted((page, name) for page, name in named if name not in settings) == []


def test_every_file_that_is_named_is_there() -> None:
    named = {(page, name) for page in pages() for name in A_FILE.findall(text_of(page))}
    assert len(named) > 30
    assert sorted((page, name) for page, name in named if not (ROOT / name).exists()) == []


def test_every_benchmark_that_is_named_can_be_run() -> None:
    named = {
        name for page in pages() for name in re.findall(r"python -m (benchmarks\.\w+)", " ".join(text_of(page).split()))
    }
    files = {name: ROOT / name.replace(".", "/") for name in named}
    assert len(files) >= 5
    missing = [
        name for name, at in files.items() if not (at.with_suffix(".py").exists() or (at / "__main__.py").exists())
    ]
    assert missing == []
