"""The reference of the command line, written from the commands themselves: `python -m meta_pipeline.cli.reference`.

Belongs here: docs/cli.md, which a test holds against this. Does not belong here: words about a command; they stand in
its docstring, where `--help` reads them too.
"""

import inspect
import sys
from collections.abc import Iterator
from typing import Any, Final

from typer.main import get_command

from meta_pipeline.cli import common
from meta_pipeline.cli.main import COMMANDS, app
from meta_pipeline.errors import MetaPipelineError

HEAD: Final = """# The command line

Written by `python -m meta_pipeline.cli.reference > docs/cli.md`; a test holds it against the code.

- `--json`, which every command but `completion` has, prints one document and nothing else on standard output. Its first
  field, `schema`, names command and version: `"schema": "meta-pipeline/proposals.list/1"`. The version rises when a
  field is renamed or removed, or means something else; fields are added without that. `schema_version` is the version
  alone. An error is `{"schema": "meta-pipeline/error/1", "error": {"code", "message", "next"}}`; branch on `code`.
  Without `--json`, `policy show` and `policy keys export` print what others signed or verify with, byte for byte.
- Colours and progress bars are for terminals: a pipe gets neither. `NO_COLOR=1` or `--no-color`, anywhere on the line,
  turns colours off. Progress is on standard error, answers are on standard output.
- An error is one line that says what and why, a second one with the command to type next, and an exit code.
- Completion: `source <(meta-pipeline completion bash)` (or `zsh`); `meta-pipeline completion fish | source`.
- Settings are environment variables or lines of `.env`; they are listed at the end.
"""


def reference() -> str:
    """Return docs/cli.md."""
    group: Any = get_command(app)
    context = group.make_context("meta-pipeline", [], resilient_parsing=True)
    parts = [HEAD, _exit_codes()]
    for name in COMMANDS:
        command = group.get_command(context, name)
        inner = getattr(command, "commands", None)
        parts.append(f"## {name}\n\n{COMMANDS[name][1]}\n")
        if inner is None:
            parts.append(_one(command, f"meta-pipeline {name}"))
        else:
            parts += [f"### {name} {each}\n\n" + _one(inner[each], f"meta-pipeline {name} {each}") for each in inner]
    parts.append(_settings())
    return "\n".join(parts)


def _one(command: Any, path: str) -> str:
    context = command.make_context(path, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"```\n{path} {usage}\n```\n", inspect.cleandoc(command.help or ""), ""]
    lines += _parameters(command, context)
    return "\n".join(lines)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None and record[0] != "--help"
    ]
    if not records:
        return
    yield "| | |\n|---|---|"
    for name, text in records:
        yield f"| `{_cell(name)}` | {_cell(' '.join(text.split()))} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _exit_codes() -> str:
    """List the codes of all errors by what the shell sees."""
    found: dict[int, set[str]] = {}
    waiting: list[type[MetaPipelineError]] = [MetaPipelineError]
    while waiting:
        error = waiting.pop()
        if error.__module__ not in {MetaPipelineError.__module__, common.__name__}:
            continue
        found.setdefault(error.exit_code, set()).add(error.code)
        waiting += error.__subclasses__()
    rows = [
        f"| {number} | {', '.join(f'`{code}`' for code in sorted(codes))} |" for number, codes in sorted(found.items())
    ]
    return "\n".join(["## Exit codes\n", "| exit code | codes |\n|---|---|", "| 0 | it went well |", *rows, ""])


def _settings() -> str:
    from meta_pipeline.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        if name.startswith("failpoint"):
            continue
        default = "unset" if field.default in {None, ""} else f"`{field.default}`"
        rows.append(f"| `META_PIPELINE_{name.upper()}` | {default} | {_cell(field.description or '')} |")
    return "\n".join(["## Settings\n", "| variable | default | |\n|---|---|---|", *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(reference())
