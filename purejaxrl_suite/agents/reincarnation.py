"""Reincarnating RL (Agarwal et al. 2022, arXiv 2206.01626): how a student learns from a teacher.

A method is a term of the student's loss, a way to act or to replay, and phases; it is a value, for
`reincarnated` and `reincarnate`:

    found = pjs.reincarnate(pjs.qdagger(), teacher, student, offline_gradient_steps=100_000)

Sources: QDagger, and all as baselines, the paper above; kickstarting Schmitt et al. 2018 (arXiv
1803.03835); jump-start RL Uchendu et al. 2022 (arXiv 2204.02372); offline pre-training by CQL Kumar
et al. 2020 (arXiv 2006.04779); DQfD Hester et al. 2018 (arXiv 1704.03732). Defaults are those of
the released code for DQN, in fractions of training and of the learning rate.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.shared.students import Inputs, Method, Told
from purejaxrl_suite.core.argument import boolean
from purejaxrl_suite.ops.offline import conservative_penalty

DISTILLATION = ("distillation_coefficient", 3.0), ("distillation_temperature", 0.1)
WEANED = ("weaned_learning_rate", 0.1)


def qdagger() -> Method:
    """Distil the teacher's policy while learning values: first from its replay, then online.

    The loss has the term lambda * c * KL(teacher || student), of policies that are the softmax of
    values / T; a teacher without values has its own probabilities. Online, batches are of the
    student's own replay; lambda follows its evaluations.

    Example:
        >>> pjs.qdagger().offline
        True
    """
    return Method("qdagger", (*DISTILLATION, WEANED), _distillation, offline=True, weans=True)


def kickstarting() -> Method:
    """Distil the teacher's policy while learning values, online only: QDagger's second phase."""
    return Method("kickstarting", (*DISTILLATION, WEANED), _distillation, weans=True)


def dqfd(original: bool = False) -> Method:
    """Demand a margin between the value of the teacher's action and all others.

    The term is lambda * c * the mean over states and actions of max(Q(s, a) + m - Q(s, a_T), 0),
    where a_T is the teacher's greedy action. The learning rate does not follow lambda, as
    released. The released code multiplies the term by lambda twice online; here it is once.

    Args:
        original: the largest of the actions' violations, as in arXiv 1704.03732, not their mean.
    """
    name = "dqfd(original)" if boolean("original", original) else "dqfd"
    hypers = ("margin_coefficient", 1.0), ("margin", 1.0), ("weaned_learning_rate", 1.0)
    term = _largest_violation if original else _mean_violation
    return Method(name, hypers, term, offline=True, weans=True)


def offline_pretraining() -> Method:
    """Learn conservatively from the teacher's replay, then online without any term.

    The offline term is CQL's, the mean of logsumexp(Q / T) - Q(s, a) / T. The optimizer starts
    anew online, with the learning rate learning_rate * weaned_learning_rate.
    """
    hypers = ("conservative_coefficient", 1.0), ("conservative_temperature", 0.1), WEANED
    return Method(
        "offline_pretraining",
        hypers,
        _conservatism,
        offline=True,
        online=False,
        keeps_optimizer=False,
    )


def rehearsal() -> Method:
    """Replace elements of each batch by the teacher's experience, with one probability."""
    return Method("rehearsal", (("teacher_fraction", 0.5),), online=False, rehearses=True)


def jsrl() -> Method:
    """Let the teacher act the first steps of each episode: jump-start RL, with random steps.

    Their number is uniform in 1 .. H; H is multiplied by `guide_decay` and rounded down after each
    evaluation, until it is 0. When acting greedily, as in evaluations, the student acts alone.
    Such an agent has a memory: the step of the episode.
    """
    return Method("jsrl", (("guide_steps", 100.0), ("guide_decay", 0.8)), online=False, guides=True)


def fine_tuning() -> Method:
    """Go on training the teacher itself: parameters, optimizer, target, counters and replay.

    The student's builder, Config and network are the teacher's. The learning rate is the student's
    own, in the paper a tenth of the teacher's.
    """
    return Method("fine_tuning", online=False, continues=True)


def _distillation(inputs: Inputs) -> Told:
    """KL(teacher || student), mean over states."""
    temperature = inputs.hypers.distillation_temperature
    teacher = jax.lax.stop_gradient(inputs.log_policy(temperature))
    student = jax.nn.log_softmax(inputs.q / temperature)
    probability = jnp.exp(teacher)
    # An action that the teacher never takes has log probability -inf, and adds nothing.
    gap = jnp.where(probability > 0.0, teacher - student, 0.0)
    divergence = jnp.mean(jnp.sum(probability * gap, axis=-1))
    return inputs.hypers.distillation_coefficient * divergence, {"teacher_kl": divergence}


def _violations(inputs: Inputs):
    """How much each action's value, with the margin, is above that of the teacher's, f32[B, A]."""
    best = inputs.greedy()[:, None]
    others = jnp.arange(inputs.q.shape[-1])[None] != best
    margin = jnp.where(others, inputs.hypers.margin, 0.0)
    return inputs.q + margin - jnp.take_along_axis(inputs.q, best, axis=-1)


def _mean_violation(inputs: Inputs) -> Told:
    violation = jnp.mean(jnp.maximum(_violations(inputs), 0.0))
    return inputs.hypers.margin_coefficient * violation, {"teacher_margin": violation}


def _largest_violation(inputs: Inputs) -> Told:
    violation = jnp.mean(jnp.max(_violations(inputs), axis=-1))
    return inputs.hypers.margin_coefficient * violation, {"teacher_margin": violation}


def _conservatism(inputs: Inputs) -> Told:
    scaled = inputs.q / inputs.hypers.conservative_temperature
    penalty = jnp.mean(jax.vmap(conservative_penalty)(scaled, inputs.action))
    return inputs.hypers.conservative_coefficient * penalty, {"conservative_penalty": penalty}
