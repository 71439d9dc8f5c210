"""BBF: bigger, better, faster (Schwarzer et al. 2023, arXiv 2305.19452); SPR and SR-SPR.

Rainbow without noise, with self-prediction (SPR, Schwarzer et al. 2021, arXiv 2007.05929) and
resets (SR-SPR, D'Oro et al. 2023): the encoder and the transition model move towards fresh
parameters, all others are reset, and so are the optimizer and the count of gradient steps. n and
the discount are annealed on that count. The target network, a moving average, acts. Defaults are
those for Atari-100k at replay ratio 2; SPR and SR-SPR are other settings of BBF: `presets`.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import bbf_released
from purejaxrl_suite.agents.shared.bbf_released import AsReleased
from purejaxrl_suite.agents.shared.q_learning import check
from purejaxrl_suite.agents.shared.rainbow_learning import experience, rainbow_learning
from purejaxrl_suite.agents.shared.rainbow_loss import Auxiliary, RainbowRule, RainbowState
from purejaxrl_suite.core import tree, types, validate
from purejaxrl_suite.core.types import Agent, Array, ExtraLoss, Key, Learner, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.nets import SelfPredictive
from purejaxrl_suite.ops import optimizers, perturb, schedules, self_prediction
from purejaxrl_suite.ops.augmentation import augmentation
from purejaxrl_suite.ops.differentiable import run_if
from purejaxrl_suite.ops.perturb import RESET, Factors


class BBFConfig(NamedTuple):
    """What changes the compiled program; the first eight are those of `RainbowConfig`.

    Attributes:
        jumps: steps that self-prediction looks ahead (K).
        group: batches that are drawn and weighted together; divides gradient_steps.
        as_released: where to follow the released code, which differs from the paper.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 1
    gradient_steps: Annotated[int, Range(1)] = 2
    batch_size: Annotated[int, Range(1, "capacity")] = 32
    capacity: Annotated[int, Range(1)] = 200_000
    max_n_step: Annotated[int, Range(1)] = 10
    probe_size: Annotated[int, Range(1)] = 256
    atoms: Annotated[int, Range(2)] = 51
    jumps: Annotated[int, Range(1)] = 5
    group: Annotated[int, Range(1)] = 2
    as_released: AsReleased = AsReleased()


class BBFHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    What is not listed means the same as in `RainbowHypers`.

    Attributes:
        weight_decay: of AdamW, decoupled; not on biases.
        gamma: discount per step, after annealing.
        n_step: rewards in a return, after annealing.
        start_gamma: discount right after a reset.
        start_n_step: rewards in a return right after a reset, at most max_n_step.
        anneal_steps: gradient steps in which n and the discount are annealed.
        spr_weight: of self-prediction in the loss.
        reset_period: environment steps between resets; 0 never resets.
        no_resets_after: no reset if fewer than reset_period steps are left until this step.
        shrink: factor on the encoder and the transition model in a reset.
        perturb: factor on the fresh parameters that are added to them.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-4
    adam_epsilon: Annotated[float, Range(above=0)] = 1.5e-4
    weight_decay: Annotated[float, Range(0)] = 0.1
    gamma: Annotated[float, Range(0, 1)] = 0.997
    n_step: Annotated[float, Range(1, "max_n_step", integer=True)] = 3.0
    start_gamma: Annotated[float, Range(0, 1)] = 0.97
    start_n_step: Annotated[float, Range(1, "max_n_step", integer=True)] = 10.0
    anneal_steps: Annotated[float, Range(0)] = 10_000.0
    epsilon: Annotated[float, Range(0, 1)] = 1.0
    final_epsilon: Annotated[float, Range(0, 1)] = 0.0
    epsilon_decay_steps: Annotated[float, Range(0)] = 2001.0
    min_history: Annotated[float, Range(1, "capacity", integer=True)] = 2000.0
    target_update_period: Annotated[float, Range(1, integer=True)] = 1.0
    target_update_rate: Annotated[float, Range(0, 1)] = 0.005
    value_low: Annotated[float, Range(below="value_high")] = -10.0
    value_high: Annotated[float, Range(above="value_low")] = 10.0
    priority_exponent: Annotated[float, Range(0, 1)] = 0.5
    importance_exponent: Annotated[float, Range(0, 1)] = 0.5
    spr_weight: Annotated[float, Range(0)] = 5.0
    reset_period: Annotated[float, Range(0, integer=True)] = 20_000.0
    no_resets_after: Annotated[float, Range(0, integer=True)] = 100_000.0
    shrink: Annotated[float, Range(0, 1)] = 0.5
    perturb: Annotated[float, Range(0, 1)] = 0.5


def bbf(
    env: types.Environment,
    config: BBFConfig | None = None,
    network: SelfPredictive | None = None,
    hypers: BBFHypers | None = None,
    *,
    extra_loss: ExtraLoss | None = None,
) -> Agent:
    """Build BBF for the spaces of an environment.

    Pixels are augmented, small boards are not (`ops.augmentation`).

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.self_predictive` of width 1. BBF's own has
            `encoder=nets.impala(width=4), hidden=(2048,)`.
        hypers: what may be swept; None for the defaults, with an epsilon of 0 where the network
            is noisy, such as SPR's.
        extra_loss: a term to add to the loss; its target is probabilities f32[B, atoms].

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, the encoder is not convolutional, sizes do not fit, or
            nothing explores: no noise and no epsilon.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.bbf(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, SelfPredictive)
    given = hypers is not None
    config, hypers = validate.settings(config, hypers, (BBFConfig(), BBFHypers()))
    action = check("bbf", env)
    model = network or nets.self_predictive(env.observation, action, atoms=config.atoms)
    if not given and nets.is_noisy(model.network):
        hypers = hypers._replace(epsilon=0.0)
    released = config.as_released
    # The released mask looks one step further than the last prediction.
    length = config.jumps + released.mask
    longest = max(config.max_n_step, length)
    replay = experience(env, config, longest)
    augment = augmentation(env.observation)

    def optimizer(hypers: BBFHypers) -> optax.GradientTransformation:
        adam = optimizers.adamw(
            hypers.learning_rate,
            eps=hypers.adam_epsilon,
            weight_decay=hypers.weight_decay,
            mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params),
        )
        return model.network.constrain(adam)

    def schedule(hypers: BBFHypers, steps: Array) -> tuple[Array, Array]:
        over = hypers.anneal_steps
        n = schedules.annealed_n_step(steps, hypers.start_n_step, hypers.n_step, over)
        return n, schedules.annealed_discount(steps, hypers.start_gamma, hypers.gamma, over)

    def auxiliary(key: Key, hypers: BBFHypers, state: RainbowState, slot: Array) -> Auxiliary:
        seen = replay.sequences(state.replay, slot, length)
        future = augment(key, seen.obs[1 : config.jumps + 1])
        flat = jnp.reshape(future, (-1, *future.shape[2:]))
        features = model.network.apply(state.target, flat)[1].features
        projected = model.project(state.target, features)
        wanted = jnp.reshape(projected, (config.jumps, slot.shape[0], -1))
        ended = self_prediction.ended(seen.terminated, seen.mask)
        if released.mask:
            mask = self_prediction.mask_as_released(ended)
        else:
            mask = jax.vmap(self_prediction.mask)(ended)

        def loss(params: PyTree, features: Any) -> Array:
            found = model.predict(params, features, seen.action[: config.jumps].T)
            losses = jax.vmap(self_prediction.loss, (0, 1, 0))(found, wanted, mask)
            return hypers.spr_weight * losses

        return loss

    def reset(key: Key, hypers: BBFHypers, state: RainbowState) -> RainbowState:
        def fresh(fixed: tuple[Key, BBFHypers], old: tuple) -> tuple:
            key, hypers = fixed
            soft = Factors(hypers.shrink, hypers.perturb)
            factors = {"encoder": soft, "aux/transition": soft, "aux": RESET}
            factors |= {"bridge": RESET, "trunk": RESET, "heads": RESET}
            # The target network gets its own fresh parameters, as in the paper's code.
            keys = jax.random.split(key)
            starts = jax.vmap(model.network.init)(keys)
            params, target = (
                perturb.shrink_and_perturb(one, tree.index(starts, i), factors)
                for i, one in enumerate((old[0].params, old[1]))
            )
            fresh_state = optimizer(hypers).init(params)
            opt_state = tree.with_constants_of(fresh_state, old[0].opt_state)
            params, target = (
                model.network.project(Learner(one, opt_state)).params for one in (params, target)
            )
            return Learner(params, opt_state), target, jnp.zeros((), jnp.int32)

        due = schedules.reset_is_due(
            state.updates,
            config.num_envs * config.rollout_length,
            hypers.reset_period,
            hypers.no_resets_after,
            as_released=released.resets,
        )
        old = state.learner, state.target, state.steps
        after: tuple[Learner, PyTree, Array] = run_if(fresh, due, (key, hypers), old)
        learner, target, steps = after
        return state._replace(learner=learner, target=target, steps=steps)

    rule = RainbowRule(
        optimizer,
        schedule,
        bbf_released.window(replay.read, longest) if released.window else replay.read,
        group=config.group,
        acting=lambda state: state.target,
        augment=augment,
        auxiliary=auxiliary,
        finish=reset,
    )
    if released.priorities:
        rule = rule._replace(priorities=bbf_released.priorities)
    return rainbow_learning(
        "bbf",
        env,
        config=config,
        hypers=hypers,
        network=model.network,
        replay=replay,
        rule=rule,
        extra_loss=extra_loss,
    )._replace(model=model)
