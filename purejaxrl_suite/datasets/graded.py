"""Data sets of graded quality from one training run, as D4RL has them (Fu et al. 2020).

`random`, `medium`, `medium-replay`, `medium-expert` and `expert`, arXiv 2004.07219, section 5. The
run is of two stages, of which the first ends at medium quality, or of two saved policies.
"""

from purejaxrl_suite.datasets.collecting import collect, random
from purejaxrl_suite.datasets.experience import Experience, concatenate
from purejaxrl_suite.datasets.members import Who, environment
from purejaxrl_suite.datasets.replayed import from_replay


def graded(
    medium: Who,
    expert: Who,
    steps: int | float,
    *,
    num_envs: int = 8,
    explore: bool = True,
    seed: int = 0,
) -> dict[str, Experience]:
    """Make data sets of graded quality from members at two times of one training run.

    - `random`: uniformly random actions. (D4RL's are those of untrained networks.)
    - `medium`, `expert`: the members at the two times.
    - `medium-replay`: all that the replay of the medium members holds. It is all of their training
      if the capacity is at least as large.
    - `medium-expert`: these two, one after the other.

    Every record has the mean returns of `random` and of `expert`, by which scores are normalized:
    `sets["medium"].record.normalized(return)`. How far training goes until it is medium (about a
    third of the expert's score in D4RL) is for the caller to choose.

    Args:
        medium: a Policy, a list of them, or a Result, of an agent with replay.
        expert: the same, later.
        steps: of each set but medium-replay.
        num_envs: as in `collect`.
        explore: as in `collect`.
        seed: as in `collect`, of the first set; the others have the following ones.

    Returns:
        {name: data set}.

    Raises:
        ValueError: as in `collect`, `from_replay` and `concatenate`.

    Example:
        >>> env = pjs.make("Pendulum-v1")
        >>> medium = pjs.run(pjs.td3, env, seeds=1, steps=1e4)
        >>> expert = pjs.run(pjs.td3, env, seeds=1, steps=5e4)
        >>> sets = pjs.datasets.graded(medium, expert, 1e5)
    """
    how = {"num_envs": num_envs, "explore": explore}
    begun = random(environment(medium), steps, num_envs=num_envs, seed=seed)
    middle = collect(medium, steps, seed=seed + 1, name="medium", **how)
    best = collect(expert, steps, seed=seed + 2, name="expert", **how)
    sets = {
        "random": begun,
        "medium": middle,
        "medium-replay": from_replay(medium),
        "medium-expert": concatenate([middle, best], name="medium-expert"),
        "expert": best,
    }
    random_return, expert_return = begun.record.mean_return, best.record.mean_return

    def referred(one: Experience) -> Experience:
        record = one.record._replace(random_return=random_return, expert_return=expert_return)
        return one._replace(record=record)

    return {name: referred(one) for name, one in sets.items()}
