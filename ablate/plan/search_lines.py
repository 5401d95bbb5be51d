"""What a search would cost and how far it has come, in lines for people."""

from collections.abc import Iterator

from ablate.plan.model import Plan
from ablate.search.history import State, best
from ablate.search.ledger import Ledger
from ablate.search.model import Budget, Search
from ablate.search.population import lineage
from ablate.store import Store


def search_line(plan: Plan) -> str:
    """Say what a study's search would do: who proposes, how much there is to spend, and what it ends in."""
    search = plan.study.search
    assert search is not None
    num_seeds = len(search.seeds) if plan.seeds else 1
    each = f"each of {len(plan.searches)} arms" if search.per == "arm" else f"the arm '{plan.searches[0].arm}'"
    pruner = "" if search.pruner.name == "none" else f" with {search.pruner.name} pruning"
    parameters = f"{len(search.space)} parameter{'s' * (len(search.space) != 1)}"
    metrics = " and ".join(objective.metric for objective in search.objectives)
    most = search.num_configurations
    trials = f" = {most * num_seeds * len(plan.searches)} trials" if most is not None else ""
    return (
        f"search: {sampler_text(search)}{pruner} over {parameters} for {each}, {budget_text(search.budget)}"
        f" x {num_seeds} seed{'s' * (num_seeds != 1)}{trials} on validation data for {metrics};"
        f" then the winners, and the untuned arms beside them, on test data"
    )


def sampler_text(search: Search) -> str:
    """Say who proposes: `tpe`, or `pbt with a population of 8 over 5 generations`."""
    population = search.population
    if population is None:
        return search.sampler.name
    return f"{search.sampler.name} with a population of {population.size} over {population.generations} generations"


def budget_text(budget: Budget) -> str:
    """Say when a search ends."""
    parts = []
    if budget.trials is not None:
        parts.append(f"{budget.trials} configuration{'s' * (budget.trials != 1)}")
    if budget.hours is not None:
        parts.append(f"{budget.hours:g} hours of work")
    if budget.no_improvement is not None:
        parts.append(f"{budget.no_improvement} configurations without improvement")
    return " or ".join(parts)


def search_lines(plan: Plan, store: Store) -> Iterator[str]:
    """Say how far each search has come, and what is best so far."""
    search = plan.study.search
    assert search is not None
    for planned in plan.searches:
        entries = Ledger(store, plan.study.name, planned.key).entries()
        counts = {state: sum(entry.state is state for entry in entries) for state in State}
        shown = ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "nothing yet"
        found = best(search, entries)
        line = f"search of '{planned.arm}', {budget_text(search.budget)}: {shown}"
        if found is not None and found.values is not None:
            line += f"; best {search.objectives[0].metric} {found.values[0]:.4g} at #{found.number}"
            way = [f"#{entry.number}" for entry in lineage(entries, found)[:-1]]
            line += f", by way of {', '.join(way)}" if way else ""
        yield line
