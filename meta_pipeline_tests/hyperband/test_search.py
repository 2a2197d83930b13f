"""A search in one process: Hyperband's table, resumption, what it draws, promotes and refuses."""

import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from meta_pipeline.errors import Conflict, InsufficientData, NotFound
from meta_pipeline.hyperband.brackets import Hyperband
from meta_pipeline.hyperband.executors import InProcess
from meta_pipeline.hyperband.jobs import Job
from meta_pipeline.hyperband.ledger import End, Entry, Ledger, create_or_open, ledger_digest, open_existing
from meta_pipeline.hyperband.progress import Progress, progress_of
from meta_pipeline.hyperband.sampling import observed_rung
from meta_pipeline.hyperband.schedule import rounds
from meta_pipeline.hyperband.search import Search
from meta_pipeline.hyperband.search_settings import SearchSettings, parse_objectives
from meta_pipeline.hyperband.slots import LIVE, Slot
from meta_pipeline.store.search_ledgers import checkpoints_in, drop_torn_line, folder_coordinator, folder_place
from meta_pipeline_tests.hyperband import toy


def begin(folder: Path, settings: SearchSettings, storage: optuna.storages.BaseStorage | None = None) -> Search:
    ledger = create_or_open(storage or optuna.storages.InMemoryStorage(), settings)
    return Search(ledger, checkpoints_in(folder), worker="test", clock=time.time)


def done(folder: Path, **options: Any) -> dict[Slot, Entry]:
    return begin(folder, toy.search_settings(**options)).run(InProcess())


class Counting(InProcess):
    """Runs jobs, and keeps them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.jobs: list[Job] = []
        self.stop_after = stop_after

    def map_unordered(self, jobs: Any) -> Any:
        for job in jobs:
            if len(self.jobs) == self.stop_after:
                return
            self.jobs.append(job)
            yield from super().map_unordered(iter([job]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchSettings, dict[Slot, Entry], list[Job]]:
    """One iteration of R = 81, with the jobs it made."""
    settings = toy.search_settings(resource=81)
    executor = Counting()
    entries = begin(tmp_path_factory.mktemp("whole"), settings).run(executor)
    return settings, entries, executor.jobs


def test_an_iteration_is_the_published_table_and_spends_exactly_its_units(
    whole: tuple[SearchSettings, dict[Slot, Entry], list[Job]],
) -> None:
    _, entries, jobs = whole
    table = Counter((job.slot.bracket, job.r_to) for job in jobs)
    for bracket in Hyperband(maximum_resource=81).brackets:
        assert {rung.resource: rung.configurations for rung in bracket.rungs} == {
            r: n for (s, r), n in table.items() if s == bracket.number
        }
    assert sum(job.units for job in jobs) == 1581
    assert len(jobs) == len({job.key for job in jobs}) == 206
    assert len(entries) == 143
    assert Counter(entry.end for entry in entries.values()) == {End.COMPLETE: 10, End.PRUNED: 133}


def test_only_the_best_of_a_rung_are_promoted_the_feasible_first(
    whole: tuple[SearchSettings, dict[Slot, Entry], list[Job]],
) -> None:
    settings, entries, _ = whole
    first = [entries[slot] for slot in rounds(settings)[0].slots]
    standing = sorted(first, key=lambda entry: (entry.rungs[1].violation, -entry.rungs[1].value))
    assert {entry.slot for entry in standing[:27]} == {entry.slot for entry in first if 3 in entry.rungs}
    assert any(entry.rungs[1].violation > 0 for entry in first)


def test_optuna_has_the_constraints_states_and_values(tmp_path: Path) -> None:
    search = begin(tmp_path, toy.search_settings(resource=9))
    entries = search.run(InProcess())
    trials = search.ledger.study.get_trials()
    assert {trial.state for trial in trials} == {optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED}
    for trial in trials:
        entry = entries[Slot(*trial.user_attrs["slot"])]
        assert entry.last is not None
        assert trial.constraints == entry.last.constraints
        assert trial.value == entry.last.value
    assert search.is_finished
    assert search.ledger.study.best_trial.constraints["depth"] <= 0


def test_the_model_learns_from_the_highest_rung_with_enough_and_from_earlier_brackets_only(
    whole: tuple[SearchSettings, dict[Slot, Entry], list[Job]],
) -> None:
    settings, entries, _ = whole
    earlier = [entries[slot] for slot in rounds(settings)[0].slots]
    assert observed_rung(settings, earlier) == 9  # nine observations there, and four parameters need six
    assert observed_rung(settings, []) is None
    # Drawn with the model, the later brackets know where the first one found the good ones.
    later = [entry for slot, entry in entries.items() if slot.bracket in {0, 1}]
    mean = [sum(toy.truth(entry.config) for entry in group) / len(group) for group in (earlier, later)]
    assert mean[1] > mean[0] + 0.2


def test_the_random_sampler_and_another_seed_draw_others(tmp_path: Path) -> None:
    usual = done(tmp_path / "a", resource=9)
    assert ledger_digest(done(tmp_path / "b", resource=9)) == ledger_digest(usual)
    for different in ({"seed": 8}, {"sampler": "random"}):
        other = done(tmp_path / str(different), resource=9, **different)
        assert ledger_digest(other) != ledger_digest(usual)


def test_an_interrupted_search_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    settings = toy.search_settings(resource=9)
    whole = Counting()
    straight = begin(tmp_path / "straight", settings).run(whole)
    storage = optuna.storages.InMemoryStorage()
    made: list[Job] = []
    for _ in range(40):
        executor = Counting(stop_after=3)
        begin(tmp_path / "torn", settings, storage).run(executor)
        made += executor.jobs
    assert [job.key for job in made] == [job.key for job in whole.jobs]
    assert ledger_digest(open_existing(storage, "toy").entries()) == ledger_digest(straight)


def test_what_was_finished_and_not_reported_is_found_not_computed_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = toy.search_settings(resource=9, toy={"log": str(log)})
    executor = Counting()
    begin(tmp_path, settings).run(executor)
    evaluations = len(log.read_text().splitlines())
    # The whole ledger is lost; what only the top rungs' records answer for is not evaluated again.
    begin(tmp_path, settings).run(InProcess())
    highest = {job.slot: job.r_to for job in executor.jobs}
    lost = sum(job.r_to < highest[job.slot] for job in executor.jobs)
    assert len(log.read_text().splitlines()) == evaluations + lost


def test_a_damaged_checkpoint_costs_its_units_and_never_the_result(tmp_path: Path) -> None:
    settings = toy.search_settings(resource=9)
    straight = begin(tmp_path / "straight", settings).run(InProcess())
    storage = optuna.storages.InMemoryStorage()
    begin(tmp_path / "hurt", settings, storage).run(Counting(stop_after=9))  # the first rung
    for path in (tmp_path / "hurt").glob("*.evaluation"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    entries = begin(tmp_path / "hurt", settings, storage).run(InProcess())
    assert ledger_digest(entries) == ledger_digest(straight)


def test_more_iterations_may_be_added_and_nothing_else_changed(tmp_path: Path) -> None:
    storage = optuna.storages.InMemoryStorage()
    one = begin(tmp_path, toy.search_settings(), storage).run(InProcess())
    two = begin(tmp_path, toy.search_settings(iterations=2), storage).run(InProcess())
    assert len(two) == 2 * len(one)
    assert ledger_digest({slot: entry for slot, entry in two.items() if slot.iteration == 0}) == ledger_digest(one)
    with pytest.raises(Conflict, match="iterations can be added, not taken away"):
        create_or_open(storage, toy.search_settings(iterations=1))
    with pytest.raises(Conflict, match="seed was 7 and is 8"):
        create_or_open(storage, toy.search_settings(iterations=2, seed=8))
    with pytest.raises(Conflict, match="fingerprint was"):
        create_or_open(storage, toy.search_settings(iterations=2, toy={"fingerprint": "other"}))


def test_an_evaluator_that_changed_under_way_stops_the_search(tmp_path: Path) -> None:
    settings = toy.search_settings()
    search = begin(tmp_path, settings)
    object.__setattr__(settings, "fingerprint", "what it was yesterday")
    with pytest.raises(Conflict, match="begin a new search"):
        search.run(InProcess())


def test_a_configuration_that_fails_is_out_with_its_reason_and_the_search_goes_on(tmp_path: Path) -> None:
    search = begin(tmp_path, toy.search_settings(toy={"fails": "log2"}))
    entries = search.run(InProcess())
    failed = [entry for entry in entries.values() if entry.end is End.FAIL]
    assert failed
    for entry in failed:
        assert entry.config["features"] == "log2"
        assert len(entry.rungs) == 1
        assert entry.last is not None
        assert entry.last.error == "ValueError: cannot do log2"
        assert entry.last.value == -math.inf
    assert any(entry.end is End.COMPLETE for entry in entries.values())
    assert progress_of(search.settings, entries).failures == len(failed)


def test_when_nothing_can_be_evaluated_the_search_says_so_instead_of_trying_all(tmp_path: Path) -> None:
    executor = Counting()
    with pytest.raises(InsufficientData, match=r"none of the first 8 configurations .* ValueError: cannot do"):
        begin(tmp_path, toy.search_settings(toy={"fails": "all"})).run(executor)
    assert len(executor.jobs) == 8


def test_the_live_configuration_gets_the_whole_resource_and_no_say_in_the_draws(tmp_path: Path) -> None:
    live = {"x": 0.5, "rate": 0.1, "depth": 5, "features": "sqrt"}
    without, beside = done(tmp_path / "a"), done(tmp_path / "b", live_config=live)
    assert beside[LIVE].config == live
    assert list(beside[LIVE].rungs) == [9]
    assert beside[LIVE].end is End.COMPLETE
    del beside[LIVE]
    assert ledger_digest(beside) == ledger_digest(without)


def test_several_objectives_promote_by_domination(tmp_path: Path) -> None:
    objectives = parse_objectives("deflated_sharpe_ratio:max,maximum_drawdown:min")
    entries = done(tmp_path, resource=27, objectives=objectives)
    first = [entries[Slot(0, 3, number)] for number in range(27)]
    promoted = [entry for entry in first if 3 in entry.rungs]
    assert len(promoted) == 9
    feasible = [entry for entry in first if entry.rungs[1].violation == 0]
    smallest = min(feasible, key=lambda entry: entry.config["x"])
    assert smallest in promoted  # nobody has less drawdown, so nobody dominates it


def test_overlapping_brackets_are_deterministic_too(tmp_path: Path) -> None:
    one, two = done(tmp_path / "a", overlap=1), done(tmp_path / "b", overlap=1)
    assert ledger_digest(one) == ledger_digest(two)
    assert ledger_digest(one) != ledger_digest(done(tmp_path / "c"))


def test_asha_says_that_it_gives_up_determinism_and_promotes_without_waiting(tmp_path: Path) -> None:
    settings = toy.search_settings(promotion="asha")
    assert not settings.is_deterministic
    executor = Counting()
    entries = begin(tmp_path, settings).run(executor)
    keys = [job.key for job in executor.jobs]
    assert len(keys) == len(set(keys))
    first_promotion = next(place for place, job in enumerate(executor.jobs) if job.r_from == 1)
    assert first_promotion == 3  # as soon as three are there
    assert all(entry.end is not None for entry in entries.values())
    assert len(entries) == settings.hyperband.configurations


def test_a_lease_is_left_to_its_holder_until_it_expires(tmp_path: Path) -> None:
    storage, now = optuna.storages.InMemoryStorage(), [1000.0]

    def worker(name: str) -> Search:
        ledger = create_or_open(storage, toy.search_settings())
        return Search(ledger, checkpoints_in(tmp_path), worker=name, clock=lambda: now[0], lease_seconds=60)

    first, second = worker("one"), worker("two")
    jobs = first.ready()
    assert len(jobs) == 9
    first.lease(jobs[0])
    assert len(second.ready()) == 8
    assert len(first.ready()) == 9  # its own, begun again after a crash
    now[0] += 60
    assert len(second.ready()) == 9


def test_of_two_coordinators_draws_for_one_slot_the_first_counts(tmp_path: Path) -> None:
    search = begin(tmp_path, toy.search_settings())
    search.ready()
    twice = search.entries[Slot(0, 2, 0)]
    search.ledger.add({twice.slot: {"x": 0.0, "rate": 1.0, "depth": 1, "features": True}})
    assert search.ledger.entries()[twice.slot] == twice


def test_progress_tells_where_the_search_is_and_ends_full(tmp_path: Path) -> None:
    told: list[Progress] = []
    search = begin(tmp_path, toy.search_settings())
    search.run(InProcess(), on_progress=told.append)
    assert [progress.evaluations for progress in told] == list(range(1, 23))
    assert (told[0].bracket, told[0].rung, told[0].best_resource) == (2, 1, 1)
    assert told[-1].finished_share == 1
    assert told[-1].at_top == search.settings.hyperband.reaching_the_top
    assert told[-1].best_resource == 9


def test_a_search_of_another_name_is_not_found_and_the_others_are_named(tmp_path: Path) -> None:
    storage = optuna.storages.InMemoryStorage()
    create_or_open(storage, toy.search_settings())
    with pytest.raises(NotFound, match="'tyo'; there are toy"):
        open_existing(storage, "tyo")
    assert isinstance(open_existing(storage, "toy"), Ledger)


def test_a_line_torn_by_a_crash_is_cut_off_and_the_journal_goes_on(tmp_path: Path) -> None:
    digest = toy.slow_search(str(tmp_path), 0, {})
    journal = tmp_path / "journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "tri')
    assert toy.slow_search(str(tmp_path), 0, {}) == digest
    assert drop_torn_line(journal) == 0


def test_a_second_coordinator_of_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        folder_coordinator(tmp_path, "one"),
        pytest.raises(Conflict, match="another process runs a search"),
        folder_coordinator(tmp_path, "two"),
    ):
        raise AssertionError("unreachable")
    assert folder_place(tmp_path).described == str(tmp_path)
