"""The longer SQL statements, one per file in sql/queries, named for what they answer."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from sqlalchemy import TextClause, text


@cache
def sql_folder() -> Path:
    """Return the folder of the SQL files: `sql/` beside the package, or `_sql` inside an installed wheel.

    Raises
    ------
    FileNotFoundError
        If neither is there: the installation is broken.
    """
    package = Path(str(files("meta_pipeline")))
    for folder in (package / "_sql", package.parent / "sql"):
        if (folder / "migrations").is_dir():
            return folder
    raise FileNotFoundError(
        f"no SQL files in {package / '_sql'} and none in {package.parent / 'sql'}; "
        "the installation is incomplete, install meta-pipeline again"
    )


@cache
def query(name: str) -> TextClause:
    r"""Return the statement in sql/queries/<name>.sql; its parameters are written `:name`.

    A colon that is not a parameter is written `\:`, a cast `CAST(x AS type)` or `x::type`.

    Raises
    ------
    KeyError
        If there is no such statement; the error lists those there are.
    """
    folder = sql_folder() / "queries"
    path = folder / f"{name}.sql"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.sql"))) or "none"
        raise KeyError(f"no query {name!r} in {folder}; there are: {known}")
    return text(path.read_text(encoding="utf-8"))
