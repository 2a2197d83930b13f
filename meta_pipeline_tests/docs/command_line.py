"""Holds a command of a document against the parser of the program that it names, without running it."""

import re
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from meta_pipeline.cli.main import app
from meta_pipeline_tests.docs.pages import ROOT, words

_ENDS = {">", "2>", "|", "&", "&&", "||", ";"}


def complaint(command: str) -> str:
    """Say what is wrong with a command; empty if nothing is."""
    try:
        given = words(command)
    except ValueError as error:
        return f"{command}: {error}"
    while given and re.fullmatch(r"[A-Z_]+=.*", given[0]):
        given = given[1:]
    given = given[: next((n for n, word in enumerate(given) if word in _ENDS), len(given))]
    if not given:
        return ""
    checks = {"meta-pipeline": _ours, "make": _make, "dagster": _dagster, "pip": _pip, "python": _python}
    check = checks.get(Path(given[0]).name)
    if check is None:
        return ""  # a program of the system, which only a walk can try
    return check(given[1:])


def inline_complaint(command: str) -> str:
    """Say what is wrong with a command in running text, where values may be left out."""
    group: Any = get_command(app)
    given = command.split()[1:]
    context = group.make_context("meta-pipeline", [], resilient_parsing=True)
    path = ["meta-pipeline"]
    while given and hasattr(group, "get_command"):
        if given[0].startswith("-") or not re.fullmatch(r"[a-z][a-z-]*", given[0]):
            break
        found = group.get_command(context, given[0])
        if found is None:
            return f"{command}: {' '.join(path)} has no command {given[0]}"
        group, path, given = found, [*path, given[0]], given[1:]
    known = {option for parameter in group.get_params(context) for option in parameter.opts + parameter.secondary_opts}
    unknown = [word for word in given if re.fullmatch(r"--[a-z-]+", word) and word not in known]
    return f"{command}: {' '.join(path)} has no option {unknown[0]}" if unknown else ""


def _ours(given: list[str]) -> str:
    group: Any = get_command(app)
    context = group.make_context("meta-pipeline", [], resilient_parsing=True)
    command, path = group, "meta-pipeline"
    if "--no-color" in given:
        given = [word for word in given if word != "--no-color"]
    while given and hasattr(command, "get_command") and not given[0].startswith("-"):
        found = command.get_command(context, given[0])
        if found is None:
            return f"{path} has no command {given[0]}"
        command, path, given = found, f"{path} {given[0]}", given[1:]
    if given[:1] == ["--help"] or (command is group and given[:1] == ["--version"]):
        return ""
    try:
        command.make_context(path, list(given))
    except typer.TyperException as error:
        told = error.format_message()
        # The files of a page are not here.
        return "" if told.endswith("does not exist.") else f"{path} {' '.join(given)}: {told}"
    return ""


def _make(given: list[str]) -> str:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in given if "=" not in word and not word.startswith("-")]
    missing = [target for target in targets if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)]
    return f"the Makefile has no target {missing[0]}" if missing else ""


def _dagster(given: list[str]) -> str:
    from dagster._cli import create_dagster_cli

    create: Any = create_dagster_cli
    command = create()
    path = "dagster"
    while hasattr(command, "commands") and given:
        found = command.commands.get(given[0])
        if found is None:
            return f"{path} has no command {given[0]}"
        command, path, given = found, f"{path} {given[0]}", given[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    unknown = [word for word in given if word.startswith("-") and word not in known]
    files = [word for word in given if re.fullmatch(r"[\w/]+\.yaml", word) and word.startswith("workspace")]
    missing = [file for file in files if not (ROOT / file).exists()]
    return f"{path} has no option {unknown[0]}" if unknown else f"no file {missing[0]}" if missing else ""


def _pip(given: list[str]) -> str:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = [name for word in given for found in re.findall(r"\[([\w,-]+)\]", word) for name in found.split(",")]
    missing = [name for name in named if name not in extras]
    return f"there is no extra {missing[0]}" if missing else ""


def _python(given: list[str]) -> str:
    if given[:1] == ["-m"]:
        module = ROOT / given[1].replace(".", "/")
        there = module.with_suffix(".py").exists() or (module / "__main__.py").exists()
        return "" if there else f"there is no module {given[1]} that can be run"
    if given[:1] == ["-c"]:
        compile(given[1], "<a document>", "exec")
        return ""
    return "" if (ROOT / given[0]).exists() else f"there is no file {given[0]}"
