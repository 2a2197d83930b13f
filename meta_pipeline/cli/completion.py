"""`meta-pipeline completion`: the script that lets a shell complete commands, options and their values."""

import sys
from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """Shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Whose script.")]) -> None:
    """Print the script; source it where the shell starts.

    bash: source <(meta-pipeline completion bash). zsh: the same, after compinit. fish: meta-pipeline completion fish |
    source.
    """
    from typer._completion_shared import get_completion_script

    # Typer writes the script, and answers it: the variable is what it looks for at its start.
    script = get_completion_script(prog_name="meta-pipeline", complete_var="_META_PIPELINE_COMPLETE", shell=shell.value)
    sys.stdout.write(script + "\n")
