"""Does a student that begins with a teacher learn more than one that begins with nothing?

Paper: Agarwal et al. 2022, Reincarnating reinforcement learning: reusing prior computation to
    accelerate progress, arXiv 2206.01626.
Figure: its comparison of QDagger with kickstarting, jump-start RL, rehearsal, offline pre-training,
    DQfD and learning tabula rasa; there DQN on ten Atari games, here on MinAtar (full), on Breakout
    (standard) and on Catch (quick).
Claim: at equal steps QDagger scores more than students of the other methods and than one without a
    teacher, it passes its teacher, and it needs to be weaned.

The teacher is DQN with one hidden layer, stopped early; the student has two, and three-step
returns. Each student has the teacher of another seed. Scores are of greedy evaluations in the last
quarter of training; 0 is a random policy, 1 the mean of the teachers. Steps of students are those
online: methods with an offline phase make twice as many gradient steps before, on the teacher's
replay. "going on" is the teacher itself, with a tenth of its learning rate, for as many steps.
Weights are those of the released code; rates, sizes and the decay of JSRL's guide are our setting.
`full` has a chain, too: the teacher goes on, and then teaches a larger Rainbow. In the paper the
first link also changes the optimizer, from RMSProp to Adam; here it is Adam throughout.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents import reincarnation as methods
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.rainbow import RainbowConfig, RainbowHypers, rainbow
from purejaxrl_suite.agents.shared.students import Method
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.engine.evaluate import RETURN, Evaluating
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import LEARNT, smallest_mean
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time, ranking
from purejaxrl_suite.studies.protocol import (
    LESS,
    MORE,
    Arm,
    Budget,
    Claim,
    Continuation,
    Curves,
    Gate,
    Study,
)
from purejaxrl_suite.studies.scores import estimated, late, lost
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.reincarnate import reincarnation_stages, student_hypers
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.stages import Stage

CONFIG = DQNConfig(num_envs=16, rollout_length=4, gradient_steps=16, capacity=50_000, huber=True)
OF_STUDENT = CONFIG._replace(max_n_step=3)
HYPERS = DQNHypers(
    learning_rate=1e-3, epsilon_decay=0.1, min_history=500.0, target_update_period=100.0
)
GREEDY = {"epsilon": HYPERS.final_epsilon}
"""Who begins with more than nothing explores little, from the first step on."""
TEACHING, OFFLINE = 12, 2
"""Steps of the teacher for each of a student, and gradient steps offline for each online."""
LOOKS, EPISODES = 10, 16
"""Evaluations in a run, and episodes in each."""
STEPS = {minatar.CATCH: 10}
"""By then a ball of Catch has fallen; episodes of other games are cut after LONGEST steps."""
LONGEST = 300
GUIDE_DECAY = 0.6
"""Of the most steps that JSRL's teacher acts in an episode, after each evaluation."""
LATE = 0.25
"""The last part of training, over which evaluations are averaged."""
TEACHER, ALONE, QDAGGER, ALWAYS, GOING_ON = (
    "teacher",
    "tabula rasa",
    "QDagger",
    "QDagger, not weaned",
    "going on",
)
METHODS: dict[str, Callable[[], Method]] = {
    QDAGGER: methods.qdagger,
    "kickstarting": methods.kickstarting,
    "JSRL": methods.jsrl,
    "rehearsal": methods.rehearsal,
    "pre-training": methods.offline_pretraining,
    "DQfD": methods.dqfd,
    GOING_ON: methods.fine_tuning,
}
UNIT = "score of teachers"


def network(env: Environment, hidden: tuple[int, ...]) -> Network:
    """Make a network with dense layers on the board; of more than 64 units behind convolutions."""
    encoder = nets.minatar_cnn() if max(hidden) > 64 else nets.flat()
    return nets.q_network(
        env.observation, env.action, layer_norm=False, encoder=encoder, hidden=hidden
    )


def arms(budget: Budget) -> dict[str, Arm]:
    """Make arms: teachers, students of all methods, and some without a teacher."""
    whole = budget == STUDY.full
    layers = ((128,), (256,)) if whole else ((64,), (64, 64))
    of_teacher, of_student = (partial(network, hidden=one) for one in layers)
    environments = [minatar.board(id) for id in budget.environments]
    teacher = _experiment(budget, environments, TEACHING * budget.steps)
    teacher = teacher._replace(network=of_teacher)
    hypers = HYPERS._replace(n_step=3.0)
    alone = _experiment(budget, environments, budget.steps)
    alone = alone._replace(config=OF_STUDENT, network=of_student, hypers=hypers)
    made: dict[str, Arm] = {TEACHER: teacher, ALONE: alone}
    known = {
        name: partial(students, name=name, alone=alone, teacher_of=teacher) for name in METHODS
    }
    known[ALWAYS] = partial(students, name=QDAGGER, alone=alone, teacher_of=teacher, weaning=False)
    sizes = budget.seed_numbers, budget.environments, budget.steps
    made |= {name: Continuation((TEACHER,), how, *sizes) for name, how in known.items()}
    if whole:
        made["chain"] = Continuation((GOING_ON,), partial(chain, alone=alone), *sizes)
    return made


def _experiment(budget: Budget, environments: list[Environment], steps: float) -> Experiment:
    """Make an experiment of DQN that is evaluated LOOKS times."""
    updates = int(steps) // (CONFIG.num_envs * CONFIG.rollout_length)
    cut = max(STEPS.get(id, LONGEST) for id in budget.environments)
    looks = Evaluating(max(1, updates // LOOKS), EPISODES, steps=cut)
    size = budget.seed_numbers, steps
    return Experiment(dqn, environments, *size, HYPERS, CONFIG, evaluate_every=looks)


def students(
    teacher: Result | Experiment,
    *,
    name: str,
    alone: Experiment,
    teacher_of: Experiment,
    weaning: bool = True,
) -> tuple[Stage, ...]:
    """Make the stages of a method, in the environment of its teachers."""
    method = METHODS[name]()
    env: Any = teacher.env
    own: Any = alone.hypers
    alone = alone._replace(env=env, hypers=_after_a_teacher(method, own, env))
    if method.continues:
        slow = HYPERS._replace(learning_rate=0.1 * HYPERS.learning_rate, **GREEDY)
        alone = alone._replace(config=CONFIG, network=teacher_of.network, hypers=slow)
    count = OFFLINE * _gradient_steps(alone) if method.offline else None
    made = reincarnation_stages(
        method, teacher, alone, offline_gradient_steps=count, weaning=weaning
    )
    return tuple(_unseen(stage) if stage.name == "offline" else stage for stage in made)


def _after_a_teacher(method: Method, hypers: DQNHypers, env: Environment) -> Any:
    """Return the hypers of a student, who explores less where it has learnt offline before."""
    if method.guides:  # from whole episodes to none, in LOOKS evaluations
        steps = float(min(STEPS.get(env.name, 100), 100))
        joined = student_hypers(method, hypers)
        return joined._replace(guide_steps=steps, guide_decay=GUIDE_DECAY)
    return hypers._replace(**GREEDY) if method.offline else hypers


def _unseen(stage: Stage) -> Stage:
    """Return a stage without evaluations, which nothing reads."""
    assert isinstance(stage.experiment, Experiment)
    return stage._replace(experiment=stage.experiment._replace(evaluate_every=None))


def _gradient_steps(alone: Experiment) -> int:
    """Count the gradient steps that a student makes online."""
    config = OF_STUDENT
    return int(alone.steps) // (config.num_envs * config.rollout_length) * config.gradient_steps


def chain(teacher: Result | Experiment, *, alone: Experiment) -> tuple[Stage, ...]:
    """Make the stages of a larger Rainbow that learns by QDagger from a teacher that went on."""
    config = RainbowConfig(
        num_envs=CONFIG.num_envs,
        rollout_length=CONFIG.rollout_length,
        gradient_steps=CONFIG.gradient_steps,
        capacity=CONFIG.capacity,
    )
    student = alone._replace(
        builder=rainbow,
        env=teacher.env,
        config=config,
        network=None,
        hypers=RainbowHypers(learning_rate=HYPERS.learning_rate, min_history=500.0),
    )
    return reincarnation_stages(
        methods.qdagger(),
        teacher,
        student,
        offline_gradient_steps=OFFLINE * _gradient_steps(alone),
    )


def at_random(curves: Curves) -> np.ndarray:
    """Return the scores of a random policy, f32[1, environments]."""
    known = [stats.random_score(str(one)) for one in curves["environment"].values]
    return np.asarray(known, np.float32)[None]


def returns(curves: Curves) -> Array:
    """Average greedy evaluations late in training, f32[S, environments]; random where diverged."""
    return jnp.where(lost(curves), at_random(curves), late(curves, curves[RETURN], LATE))


def scores(curves: Curves, teacher: Curves) -> Array:
    """Compute scores f32[S, environments]: 0 is a random policy, 1 the mean of the teachers."""
    random = at_random(curves)
    gap = jnp.mean(returns(teacher), axis=0, keepdims=True) - random
    return jnp.where(gap > 0.0, (returns(curves) - random) / gap, jnp.nan)


def gain(key: Key, one: Curves, other: Curves, teacher: Curves) -> Effect:
    """Estimate the IQM of scores of one arm minus that of another."""
    return stats.difference(key, scores(one, teacher), scores(other, teacher), paired=True)


def reached(key: Key, curves: Curves, teacher: Curves) -> Effect:
    """Estimate the IQM of scores of an arm."""
    return estimated(key, scores(curves, teacher), stats.iqm)


def knows(key: Key, teacher: Curves) -> Effect:
    """Estimate by how much teachers are better than chance, in standard deviations of seeds."""
    ahead = returns(teacher) - at_random(teacher)
    return estimated(key, ahead / jnp.std(ahead, axis=0, ddof=1, keepdims=True), smallest_mean)


def learns(key: Key, alone: Curves, teacher: Curves) -> Effect:
    """Estimate the smallest mean score of any environment."""
    return estimated(key, scores(alone, teacher), smallest_mean)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw evaluations of students by game, with the mean of teachers, and all final scores."""
    teacher = curves[TEACHER]
    shown = {name: one for name, one in curves.items() if name != TEACHER}
    panels = []
    for i, game in enumerate(map(str, teacher["environment"].values)):
        lines = tuple(
            over_time(key, name, one.sel(environment=[game]), RETURN) for name, one in shown.items()
        )
        level = float(jnp.mean(returns(teacher), axis=0)[i])
        text = "environment steps of its own", "return of evaluations, IQM"
        panels.append(Lines(f"{game} (line: teachers)", *text, lines, against=level))
    found = {name: reached(key, one, teacher) for name, one in shown.items()}
    title, text = "Final scores", "score of teachers, IQM, 95 % interval"
    return *panels, ranking(title, text, found, 1.0, 0.05)


GATES = ("teachers know", "learns")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "QDagger scores more than a student without a teacher at equal steps.",
            (QDAGGER, ALONE, TEACHER),
            gain,
            MORE,
            unit=UNIT,
            gates=GATES,
        ),
        Claim(
            "QDagger passes its teacher.",
            (QDAGGER, TEACHER),
            reached,
            MORE,
            against=1.0,
            unit=UNIT,
            gates=("teachers know",),
        ),
        Claim(
            "A student that is never weaned scores less.",
            (ALWAYS, QDAGGER, TEACHER),
            gain,
            LESS,
            unit=UNIT,
            gates=("teachers know",),
        ),
        *(
            Claim(
                f"QDagger scores more than {name}.",
                (QDAGGER, name, TEACHER),
                gain,
                MORE,
                unit=UNIT,
                gates=("teachers know",),
            )
            for name in METHODS
            if name != QDAGGER
        ),
    ),
    figure,
    gates=(
        Gate(
            "teachers know",
            "Teachers are better than a random policy by more than luck makes.",
            (TEACHER,),
            knows,
            MORE,
            1.0,
            "standard deviations of seeds",
            "more steps of the teacher",
        ),
        Gate(
            "learns",
            "A student without a teacher learns, too.",
            (ALONE, TEACHER),
            learns,
            MORE,
            LEARNT,
            UNIT,
            "more steps",
        ),
    ),
    quick=Budget((minatar.CATCH,), 4, 1.5e3),
    standard=Budget(("Breakout-MinAtar",), 16, 4e3, first_seed=3000),
    full=Budget(minatar.FOUR_GAMES, 32, 2e5, first_seed=2000),
)
