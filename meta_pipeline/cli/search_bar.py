"""The bar of `meta-pipeline search`: rung, bracket, best, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from meta_pipeline.cli import common

if TYPE_CHECKING:
    from meta_pipeline.hyperband.progress import Progress
    from meta_pipeline.hyperband.search_settings import SearchSettings


@contextmanager
def bar_of(settings: "SearchSettings") -> "Iterator[Callable[[Progress], None]]":
    """Show a bar on standard error: rung, bracket, best, time left. Piped, it is not there."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = common.console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Beginning ...", total=1.0)

        def on_progress(progress: "Progress") -> None:
            best = (
                "none yet" if progress.best_value is None else f"{progress.best_value:.3f} at {progress.best_resource}"
            )
            where = f"iteration {(progress.iteration or 0) + 1}/{settings.iterations}  bracket {progress.bracket}"
            told = f"{where}  rung {progress.rung}  best {best}"
            bar.update(task, completed=progress.finished_share, description=told)

        yield on_progress
