"""A plan with all that its searches have proposed so far, read from the store's notes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ablate.plan.model import Plan, PlannedSearch, PlannedTrial
from ablate.search.history import Entry, State, best, is_spent
from ablate.search.ledger import Ledger
from ablate.search.model import Search
from ablate.store import Store
from ablate.trial import Json


def grown(plan: Plan, store: Store) -> Plan:
    """Add the trials that searches have proposed, and those that measure what they found; the same plan without any.

    Raises:
        StoreError: A note or the specification of a trial cannot be read.
    """
    search = plan.study.search
    if not plan.searches or search is None:
        return plan
    found = {(*trial.place, trial.spec.id): trial for trial in plan.trials}
    for planned in plan.searches:
        for trial in _trials(search, planned, Ledger(store, plan.study.name, planned.key), store):
            found.setdefault((*trial.place, trial.spec.id), trial)
    once = {trial.spec.id if trial.role == "stage" else place: trial for place, trial in reversed(found.items())}
    return replace(plan, trials=tuple(reversed(once.values())), grown_from=plan.version)


def _trials(search: Search, planned: PlannedSearch, ledger: Ledger, store: Store) -> Iterator[PlannedTrial]:
    entries = ledger.entries()
    for entry in entries:
        name = configuration_name(planned.arm, entry.number)
        for stage, trial_id in entry.stages:
            yield PlannedTrial(spec=store.read_spec(trial_id), role="stage", name=stage)
        for trial_id in entry.trials.values():
            yield PlannedTrial(spec=store.read_spec(trial_id), role="search", name=name)
    for one in measured(search, entries, ledger):
        yield PlannedTrial(spec=store.read_spec(one["id"]), role=one["role"], name=one["name"])


def configuration_name(arm: str, number: int) -> str:
    """Name a configuration of an arm's search: `ours #12`."""
    return f"{arm} #{number}"


def measured(search: Search, entries: list[Entry], ledger: Ledger) -> list[Mapping[str, Json]]:
    """Give role, name and id of the trials that measure the winner; none while the search goes on."""
    winner = best(search, entries)
    note = ledger.winner() if winner is not None and is_over(search, entries) else None
    return list(note["trials"]) if winner is not None and note is not None and note["number"] == winner.number else []


def is_over(search: Search, entries: list[Entry]) -> bool:
    """Say whether the budget is spent and everything that was proposed has come out."""
    return is_spent(search, entries) and all(entry.state is not State.OPEN for entry in entries)


def num_to_come(plan: Plan, store: Store) -> int:
    """Count the trials that a run would still propose, at least: those of a budget without a number count once."""
    search, number = plan.study.search, 0
    if search is None:
        return 0
    for planned in plan.searches:
        ledger = Ledger(store, plan.study.name, planned.key)
        entries = ledger.entries()
        if not is_spent(search, entries):
            most = search.num_configurations or 0
            left = max(1, most - sum(not entry.is_warm for entry in entries))
            number += left * (len(search.seeds) if plan.seeds else 1)
        num_rows = sum(one["role"] == "arm" for one in measured(search, entries, ledger)) * search.num_links
        num_wanted = len(planned.arms) * max(1, len(plan.seeds)) * search.num_links
        is_hopeless = is_over(search, entries) and best(search, entries) is None
        number += 0 if is_hopeless else max(0, num_wanted - num_rows)
    return number
