"""What Muesli costs beside PPO, and where: both on Catch, with equal trunks, batches and updates.

    python -m benchmarks.muesli --core 1 --envs 32 --updates 30

Both have a trunk of 64 units, shared by all heads, 32 environments, and 4 gradient steps on 512
steps of experience in an update of 512 steps. Muesli's model has 64 units, too. Contestants are
whole runs (initialised and trained in one compiled program) that take turns, as in
`benchmarks.plasticity`; those after the second leave out parts of Muesli's model. The split is of
one update, each part compiled and called by itself: acting, drawing batches, judging them by the
target network, targets (Retrace and CMPO), and gradients with the model and without.
"""

from functools import partial
from typing import Any

from benchmarks import harness
from benchmarks.plasticity import contestant, measure
from benchmarks.sparsity import seconds

UNITS, ATOMS, LENGTH, STEPS = 64, 31, 16, 4
"""Units of every layer, atoms of values, steps of a rollout and of a sequence, gradient steps."""
ONE_STEP, SPARSE = "K = 1", "every 4th step"
VARIANTS = {
    "": {},
    ONE_STEP: {"unroll_length": 1},
    SPARSE: {"unroll_every": 4},
}
"""Fields of Muesli's Config by what they leave out of the model."""


def catch() -> Any:
    """Make the environment."""
    from purejaxrl_suite.envs import make

    return make("Catch-bsuite")


def muesli_of(envs: int, **changes: Any) -> Any:
    """Make Muesli with so many environments."""
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.muesli import MuesliConfig, muesli

    env = catch()
    model = nets.latent_model(
        env.observation,
        env.action,
        hidden=(UNITS,),
        encoder=nets.flat(),
        model_units=UNITS,
        atoms=ATOMS,
    )
    config = MuesliConfig(
        num_envs=envs,
        rollout_length=LENGTH,
        gradient_steps=STEPS,
        batch_size=envs,
        fresh=envs // 4,
        sequence_length=LENGTH,
        capacity=20_000,
    )
    return muesli(env, config._replace(**changes), model)


def ppo_of(envs: int) -> Any:
    """Make PPO with so many environments."""
    import jax

    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.ppo import PPOConfig, ppo

    env = catch()
    network = nets.actor_critic(
        env.observation,
        env.action,
        hidden=(UNITS,),
        activation=jax.nn.relu,
        encoder=nets.flat(),
        shared=True,
    )
    config = PPOConfig(num_envs=envs, rollout_length=LENGTH, epochs=STEPS, minibatches=1)
    return ppo(env, config, network)


def contestants(members: int, envs: int, updates: int) -> list[harness.Contestant]:
    """PPO, Muesli, and Muesli with less of a model."""
    agents = {"PPO": ppo_of(envs)}
    agents |= {f"Muesli, {name}" if name else "Muesli": muesli_of(envs, **changes)
               for name, changes in VARIANTS.items()}  # fmt: skip
    return [contestant(name, agent, catch(), members, updates) for name, agent in agents.items()]


def split(members: int, envs: int, updates: int) -> dict[str, dict[str, float]]:
    """Time the parts of one update of one member, in seconds of process time."""
    del members, updates
    found = {
        "PPO": parts_of_ppo(ppo_of(envs)),
        **{f"Muesli {name}".strip(): parts_of(muesli_of(envs, **changes))
           for name, changes in VARIANTS.items()},
    }  # fmt: skip
    for name, row in found.items():
        shown = ", ".join(f"{part} {1e3 * x:.2f}" for part, x in row.items())
        print(f"{name:24} ms: {shown}")
    return found


def begun(agent: Any) -> tuple[Any, Any]:
    """Give a run in its environments, and one rollout of it."""
    import jax

    from purejaxrl_suite.engine.rollout import rollout, start

    env, key = catch(), jax.random.key(0)

    @jax.jit
    def first(key: Any) -> Any:
        run = start(agent, env, key, env.params, agent.init(key, agent.hypers))
        return rollout(agent, env, key, agent.hypers, env.params, run, reset_pool=1)[:2]

    return first(key)


def acting(agent: Any, run: Any) -> float:
    """Time a rollout."""
    import jax

    from purejaxrl_suite.engine.rollout import rollout

    env = catch()

    @jax.jit
    def act(key: Any, run: Any) -> Any:
        after, transition, row = rollout(
            agent, env, key, agent.hypers, env.params, run, reset_pool=1
        )
        return after.env, after.obs, transition, row

    return seconds(act, jax.random.key(1), run)


def updating(agent: Any, run: Any, transition: Any) -> float:
    """Time an update, whose state is donated, as in training."""
    import jax

    @jax.jit
    def update(key: Any, state: Any) -> Any:
        after, metrics = agent.update(key, agent.hypers, state, transition)
        return after._replace(replay=()) if hasattr(after, "replay") else after, metrics

    return seconds(update, jax.random.key(1), run.agent)


def parts_of_ppo(agent: Any) -> dict[str, float]:
    """Time acting and the update of PPO."""
    run, transition = begun(agent)
    return {"acting": acting(agent, run), "update": updating(agent, run, transition)}


def parts_of(agent: Any) -> dict[str, float]:
    """Time the parts of an update of Muesli; those of a gradient step as often as it takes them."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite.agents.shared import muesli_learning as learning

    run, transition = begun(agent)
    env, config, model, hypers = catch(), agent.config, agent.model, agent.hypers
    replay = learning.experience(env, config)
    key, state = jax.random.key(2), run.agent
    ring = jax.jit(replay.add)(state.replay, transition)
    ring = jax.jit(replay.add)(ring, transition)
    draw = jax.jit(lambda key, ring: learning.drawn(key, replay, ring, config))
    batch = draw(key, ring)

    @jax.jit
    def judge(batch: Any, params: Any) -> Any:
        obs = jnp.concatenate([batch.obs, batch.next_obs[-1:]])
        return learning.judged(hypers, model, params, obs, (), batch.starts)

    @jax.jit
    def aim(batch: Any, judged: Any, moment: Any) -> Any:
        return learning.targets_of(key, hypers, config, moment, batch, *judged)

    judged = judge(batch, state.target)
    targets, _ = aim(batch, judged, state.moment)

    def loss(params: Any, batch: Any, targets: Any, with_model: bool) -> Any:
        starts = batch.starts[:-1]
        logits, internals = model.network.unroll(params, batch.obs, (), starts, {})
        terms = learning.policy_terms(jax.nn.log_softmax(logits), batch, targets, config)
        total = sum(jnp.mean(x) for x in terms.values())
        if with_model:
            latent = model.start(params, internals.features)
            predicted = learning.predict(model, params, latent, batch, config)
            every = config.unroll_every
            terms = learning.model_terms(hypers, predicted, batch, targets, every)
            total += sum(jnp.mean(x) for x in terms.values())
        return total

    def gradient(with_model: bool) -> float:
        step = jax.jit(jax.grad(partial(loss, with_model=with_model)))
        return config.gradient_steps * seconds(step, state.learner.params, batch, targets)

    policy, whole = gradient(False), gradient(True)
    return {
        "acting": acting(agent, run),
        "update": updating(agent, run, transition),
        "drawing": config.gradient_steps * seconds(draw, key, ring),
        "judging": config.gradient_steps * seconds(judge, batch, state.target),
        "targets": config.gradient_steps * seconds(aim, batch, judged, state.moment),
        "gradient of the policy": policy,
        "gradient of the model": max(whole - policy, 0.0),
    }


if __name__ == "__main__":
    measure("muesli", __doc__, contestants, split=split)
