"""Do wider networks pay where one agent plays several grids, and is it the critic that needs them?

Paper: McLean et al. 2025, Multi-task reinforcement learning enables parameter scaling,
    arXiv 2503.05126.
Figure: those that `multitask_scaling` repeats: success against parameters, actor and critic scaled
    apart, dormant neurons; there of SAC on Meta-World, here of PPO on navix, in an empty room and
    in one with a locked door (quick, standard), or in these, a larger one with a door and four
    rooms (full).
Claim: width pays with several tasks, more than with one, and it is the critic's that does; a wide
    critic has fewer dormant units where it serves several tasks.

Our setting: arms, effects and figure of `multitask_scaling`, but each grid is one task: no board is
permuted. The grids share their actions, their alphabet of cells and what is wanted, the goal. They
are seen whole, every cell as one-hot codes of object, colour and state, smaller ones padded. An
episode returns 1 if it reaches the goal, else 0; so 1 is the goal in every episode, and 0 as often
as by random actions.
"""

from dataclasses import replace
from functools import partial

from purejaxrl_suite.studies import multitask_scaling
from purejaxrl_suite.studies.protocol import Budget

SMALLEST = ("Navix-Empty-Random-5x5-v0", "Navix-DoorKey-5x5-v0")
GRIDS = (*SMALLEST, "Navix-DoorKey-6x6-v0", "Navix-FourRooms-7x7-v0")
STUDY = replace(
    multitask_scaling.STUDY,
    text=__doc__,
    arms=partial(multitask_scaling.arms, count=1),
    quick=Budget(SMALLEST, 8, 3e4),
    standard=Budget(SMALLEST, 8, 1e5, first_seed=1000),
    full=Budget(GRIDS, 10, 2e6, first_seed=2000),
)
