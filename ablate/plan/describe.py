"""A plan in a few lines for people: what it counts, and what is still to run."""

from collections.abc import Collection, Sequence

from ablate.plan.model import Plan


def describe(plan: Plan, finished: Collection[str]) -> list[str]:
    """Say how much a plan is.

    Args:
        plan: The plan.
        finished: Ids of finished trials; others than the plan's do not count.

    Returns:
        Lines such as `1 detector, 3 adapted, 24 trials; 20 finished, 8 to run`.
    """
    specs = plan.specs
    num_stages: dict[str, int] = {}
    for trial in plan.trials:
        if trial.role == "stage":
            num_stages[trial.name] = num_stages.get(trial.name, 0) + 1
    num_arm_trials = len(specs) - sum(num_stages.values())
    counts = [f"{number} {name}" for name, number in num_stages.items()]
    counts.append(f"{num_arm_trials} trial{'' if num_arm_trials == 1 else 's'}")
    num_finished = sum(id_ in finished for id_ in specs)
    num_waiting = len(specs) - num_finished
    arms = [f"{arm.name} (reference)" if arm.name == plan.study.reference else arm.name for arm in plan.study.arms]
    return [
        f"{plan.study.name} at scale {plan.scale}, {_seeds(plan.seeds)}",
        f"{', '.join(counts)}; {num_finished} finished, {num_waiting} to run",
        f"arms: {'; '.join(arms)}",
    ]


def _seeds(seeds: Sequence[int]) -> str:
    """Name the seeds, which are consecutive."""
    if not seeds:
        return "without seeds"
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
