"""What `deploy/` says, held against what there is: every variable, command, file, port and class named there exists.

No container engine is needed. What runs without one runs in `orchestration/test_separate_processes.py`.
"""

import configparser
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import make_conninfo

from meta_pipeline.settings import Settings
from meta_pipeline.store.postmaster import binary
from meta_pipeline.store.url import Address

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("meta-pipeline")}
UNITS = sorted((DEPLOY / "systemd").iterdir())
HELM: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
BIN = Path(sys.executable).parent


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text())
    return parser


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command line that compose, its health checks and the units would run, of programs of ours."""
    for name, service in OURS.items():
        yield f"compose {name}", service["command"]
        test = service.get("healthcheck", {}).get("test", ["CMD"])
        if test[1:]:
            yield f"compose {name} healthcheck", test[1:]
    for path in UNITS:
        start = unit(path).get("Service", "ExecStart", fallback=None)
        if start is not None:
            yield path.name, shlex.split(start.removeprefix("/opt/meta-pipeline/.venv/bin/"))


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix in {".yaml", ".json"}], ids=lambda path: path.name
)
def test_every_file_can_be_read(path: Path) -> None:
    assert yaml.safe_load(path.read_text())


def test_every_variable_that_is_named_is_a_setting() -> None:
    """A name that is not one would be passed over in silence."""
    known = {f"META_PIPELINE_{name.upper()}" for name in Settings.model_fields}
    named = {
        (path.name, name) for path in FILES for name in re.findall(r"META_PIPELINE_[A-Z_]+[A-Z]", path.read_text())
    }
    assert len(named) > 10
    assert {(path, name) for path, name in named if name not in known} == set()


def test_every_variable_of_dagsters_home_is_given() -> None:
    wanted = set(re.findall(r"env: (\w+)", (ROOT / "dagster_home/postgres/dagster.yaml").read_text()))
    wanted |= set(re.findall(r"env: (\w+)", (DEPLOY / "workspace.yaml").read_text()))
    wanted |= set(re.findall(r"env: (\w+)", (DEPLOY / "celery/worker.yaml").read_text()))
    for service in OURS.values():
        assert wanted <= set(service["environment"])


def test_what_compose_asks_for_is_in_the_example_of_its_environment() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    given = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "environment.example").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) <= given
    assert set(re.findall(r"\$\{([A-Z_]+):\?", text)) == {
        *("POSTGRES_PASSWORD", "LOOP_PASSWORD", "DAGSTER_POSTGRES_PASSWORD", "GRAFANA_PASSWORD")
    }


def test_every_command_is_one_that_is_installed_and_takes_these_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    depths = {"dagster": 2, "dagster-daemon": 1, "dagster-celery": 2, "dagster-webserver": 0}
    seen: dict[tuple[str, ...], str] = {}
    for where, (program, *words) in commands():
        if program == "python":
            continue
        assert (BIN / program).exists(), f"{where}: {program}"
        plain = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
        path = plain[: depths.get(program, 2 if plain[:1] in (["db"], ["tokens"]) else 1)]
        if (program, *path) not in seen:
            seen[program, *path] = helped(program, path, capsys, monkeypatch)
        options = [word for word in itertools.takewhile(lambda word: word != "--", words) if word.startswith("-")]
        missing = [each for each in options if not re.search(rf"(?<![\w-]){each}(?![\w-])", seen[program, *path])]
        assert not missing, f"{where}: {missing}"
    assert len(seen) >= 8


def helped(program: str, words: list[str], capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> str:
    """Run a program with --help, in this process: a new one would import Dagster each time."""
    (entry,) = entry_points(group="console_scripts", name=program)
    patch.setattr(sys, "argv", [program, *words, "--help"])
    with pytest.raises(SystemExit) as ended:
        entry.load()()
    assert not ended.value.code, (program, words)
    return capsys.readouterr().out


def test_every_file_that_is_mounted_or_copied_is_there_and_reaches_the_build() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for line in (DEPLOY / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY") and "--from" not in line
        for source in line.split()[1:-1]
        if not source.startswith("--")
    ]
    assert len(copied) > 8
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source.removeprefix('./')}" in ignored, f"{source} is not let through by .dockerignore"


def test_everything_has_a_health_check_and_waits_for_what_it_needs() -> None:
    for name, service in SERVICES.items():
        assert name == "migrate" or service["healthcheck"]["test"][0] == "CMD", name
        for other, state in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other == "migrate" else "service_healthy"
            assert state == {"condition": wanted}, (name, other)
    assert all("migrate" in service["depends_on"] for name, service in OURS.items() if name != "migrate")


def test_nothing_of_ours_runs_as_root_may_write_its_image_or_is_open_to_the_network() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert text.count("FROM ") == 2
    assert text.rindex("USER 10001:10001") > text.rindex("FROM ")
    assert text.count("--require-hashes") == 2
    assert "://" not in text
    for name, service in OURS.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_workspace_is_understood_by_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
    from dagster._core.workspace.load import location_origins_from_yaml_paths

    monkeypatch.setenv("DAGSTER_CODE_SERVER", "code")
    (origin,) = location_origins_from_yaml_paths([str(DEPLOY / "workspace.yaml")])
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    # As the links of proposals expect it, on the port on which compose and systemd serve.
    assert (origin.host, origin.port, origin.location_name) == ("code", 4000, "meta_pipeline.definitions")
    served = [line for _, line in commands() if "code-server" in line]
    assert len(served) == 2
    assert all(line[line.index("-p") + 1] == "4000" for line in served)


def test_the_workers_have_the_settings_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_celery.cli import get_validated_config

    from meta_pipeline.orchestration.search_celery import NOTHING_LOST

    monkeypatch.setenv("META_PIPELINE_CELERY_BROKER", "redis://h:1/2")
    read = get_validated_config(str(DEPLOY / "celery" / "worker.yaml"))
    assert (read["broker"], read["backend"]) == ("redis://h:1/2", "redis://h:1/2")
    assert {name: read["config_source"][name] for name in NOTHING_LOST} == NOTHING_LOST


def test_the_chart_gets_the_launcher_the_coordinator_and_the_queue_of_the_home() -> None:
    assert HELM["runLauncher"]["type"] == "K8sRunLauncher"
    coordinator = HELM["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    assert hasattr(import_module(coordinator["module"]), coordinator["class"])
    home = yaml.safe_load((ROOT / "dagster_home/postgres/dagster.yaml").read_text())
    assert coordinator["config"]["tag_concurrency_limits"] == home["concurrency"]["runs"]["tag_concurrency_limits"]
    assert HELM["postgresql"]["postgresqlScheme"] == home["storage"]["custom"]["config"]["postgres_db"]["scheme"]
    assert HELM["dagsterWebserver"]["image"] == HELM["dagsterDaemon"]["image"]
    (served,) = HELM["dagster-user-deployments"]["deployments"]
    import_module(served["codeServerArgs"][1])
    # Retries would replay a person's decision.
    assert HELM["dagsterDaemon"]["runRetries"]["enabled"] is False


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_every_unit_names_units_and_folders_that_there_are(path: Path) -> None:
    read = unit(path)
    named = " ".join(read.get("Unit", key, fallback="") for key in ("After", "Wants", "PartOf"))
    ours = {word for word in named.split() if word.startswith("meta-pipeline")}
    assert ours <= {each.name for each in UNITS}
    if read.has_option("Service", "ExecStart"):
        service = read["Service"]
        assert service["User"] == "meta-pipeline"
        assert service["ProtectSystem"] == "strict"
        assert service["ReadWritePaths"] == "/var/lib/meta-pipeline"
        for word in re.findall(r"deploy/\S+", service["ExecStart"]):
            assert (ROOT / word).exists(), word


def test_the_image_has_the_versions_of_the_lock_and_what_it_is_started_with() -> None:
    def pinned(name: str) -> dict[str, str]:
        found = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", (ROOT / name).read_text(), re.MULTILINE)
        return dict(found)

    main, cluster = pinned("requirements.lock"), pinned("requirements-cluster.lock")
    assert {name for name in set(main) & set(cluster) if main[name] != cluster[name]} == set()
    assert {"dagster-webserver", "dagster-postgres", "fastapi", "cryptography"} <= set(main)
    assert {"dagster-celery", "dagster-k8s", "redis"} <= set(cluster)


def test_the_image_gets_the_whole_package_from_what_is_copied_into_its_build(tmp_path: Path) -> None:
    stage = (DEPLOY / "Dockerfile").read_text().split("FROM ")[1]
    copied = [line.split()[1:-1] for line in stage.splitlines() if line.startswith("COPY")]
    for source in itertools.chain.from_iterable(copied):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "built"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "built").iterdir()
    installed = set(zipfile.ZipFile(wheel).namelist())
    ours = {str(path.relative_to(tmp_path)) for path in (tmp_path / "meta_pipeline").rglob("*") if path.is_file()}
    statements = {f"meta_pipeline/_{path.relative_to(tmp_path)}" for path in (tmp_path / "sql").rglob("*.sql")}
    assert len(statements) > 10
    assert (ours | statements) - installed == set()


@pytest.mark.database
def test_the_script_of_the_database_image_makes_two_databases_that_keep_to_themselves(real_server: Address) -> None:
    passwords = {"LOOP_PASSWORD": "l'oop $x", "DAGSTER_POSTGRES_PASSWORD": 'da"gster'}
    server = {name: str(real_server.options[name]) for name in ("host", "port", "password")}
    given = {"PGHOST": server["host"], "PGPORT": server["port"], "PGPASSWORD": server["password"]}
    environment = {**given, **passwords, "POSTGRES_USER": "postgres", "PATH": f"{binary('psql').parent}:/usr/bin:/bin"}
    script = ["sh", str(DEPLOY / "postgres" / "databases.sh")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    try:
        assert done.returncode == 0, done.stderr
        logins = {"meta_pipeline": passwords["LOOP_PASSWORD"], "dagster": passwords["DAGSTER_POSTGRES_PASSWORD"]}
        for user, other in (("meta_pipeline", "dagster"), ("dagster", "meta_pipeline")):
            login = make_conninfo(host=server["host"], port=server["port"], user=user, password=logins[user])
            with psycopg.connect(login, dbname=user) as connection:
                connection.execute("CREATE TABLE mine (a int)")
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(login, dbname=other)
    finally:
        with psycopg.connect(real_server.conninfo(), autocommit=True) as connection:
            for each in ("meta_pipeline", "dagster"):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(each)))
                connection.execute(sql.SQL("DROP USER IF EXISTS {}").format(sql.Identifier(each)))
