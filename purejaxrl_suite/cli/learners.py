"""Meta-learners on the command line: agents whose experience is lifetimes of other agents."""

from purejaxrl_suite.cli.agents import AgentEntry


def learners() -> dict[str, AgentEntry]:
    """Return every meta-learner by its name; `lir` is short for `intrinsic_reward`.

    Flags change none of their networks: those of agents that live are tables where observations are
    numbers of states.
    """
    from purejaxrl_suite.meta import (
        FRODOConfig,
        FRODOHypers,
        LIRConfig,
        LIRHypers,
        LPGConfig,
        LPGHypers,
        MODACConfig,
        MODACHypers,
        frodo,
        intrinsic_reward,
        lpg,
        modac,
    )

    reward = AgentEntry(intrinsic_reward, LIRConfig(), LIRHypers(), None)
    return {
        "frodo": AgentEntry(frodo, FRODOConfig(), FRODOHypers(), None),
        "intrinsic_reward": reward,
        "lir": reward,
        "lpg": AgentEntry(lpg, LPGConfig(), LPGHypers(), None),
        "modac": AgentEntry(modac, MODACConfig(), MODACHypers(), None),
    }
