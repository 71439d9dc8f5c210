"""Actor threads: they act on the host for B members, and exchange rollouts for parameters.

A learner and its actors meet in an `Exchange`. Every wait is bounded: an actor whose environments
raise, die or do not answer ends training by name, and a learner that stops stops its actors.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.host import HostEnvironments, HostError, HostStep
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Clock,
    Environment,
    Key,
    Memory,
    PyTree,
    Transition,
)
from purejaxrl_suite.engine.keys import member_keys, update_keys
from purejaxrl_suite.engine.rollout import rollout_keys
from purejaxrl_suite.engine.sebulba import LAG, Batch, abstract_steps
from purejaxrl_suite.engine.source import Hosted
from purejaxrl_suite.stats.inputs import EPISODES, FINISHED

TICK = 0.2
"""Seconds from one look to the next at whether to go on waiting."""


class Playing(NamedTuple):
    """What all actors of a fleet share: compiled functions of B members and n environments each.

    read: agent's state -> copies of the leaves that acting reads.
    noise: (seeds u32[B], clock) -> the noise of a rollout in all environments, [B, T, N, ...].
    act: (leaves, hypers, clock, noise, t, memory, obs, done) -> (memory, action, extras), [B, n].
    memory: () -> the memory before an episode, [B, n, ...].
    """

    read: Callable[[Any], list[Array]]
    noise: Callable[[np.ndarray, Clock], PyTree]
    act: Callable[..., tuple[Memory, Array, Any]]
    memory: Callable[[], Memory]


def playing(agent: Agent, size: int, width: int) -> Playing:
    """Make the functions with which `size` members act in `width` environments each."""
    state = jax.eval_shape(_fresh, agent)
    leaves, structure = jax.tree.flatten(state)
    needed = _needed(agent, state)

    def read(state: Any) -> list[Array]:
        found = zip(jax.tree.leaves(state), needed, strict=True)
        return [jnp.copy(x) for x, used in found if used]  # the learner's own are donated

    def noise(seed: Array, clock: Clock) -> PyTree:
        """Draw what `engine.rollout` would draw, for one member."""
        keys = update_keys(member_keys(jax.random.key(seed)), clock)
        each = jax.random.split(rollout_keys(keys.rollout).act, agent.rollout_length)
        return jax.vmap(agent.noise, (0, None))(each, agent.num_envs)

    def act(
        read: list[Array],
        hypers: Any,
        clock: Clock,
        noise: PyTree,
        t: Array,
        memory: Memory,
        obs: Array,
        done: Array,
    ) -> Any:
        given = iter(read)
        whole = [
            next(given) if used else _blank(x) for x, used in zip(leaves, needed, strict=True)
        ]
        memory = tree.where(done, agent.memory(width), memory)
        return agent.act(
            tree.index(noise, t),
            agent.anneal(hypers, clock),
            jax.tree.unflatten(structure, whole),
            memory,
            obs,
            True,
        )

    def memory() -> Memory:
        first = agent.memory(width)
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (size, *x.shape)), first)

    return Playing(
        read=jax.jit(read),
        noise=jax.jit(jax.vmap(noise, (0, None))),
        act=jax.jit(jax.vmap(act, (0, 0, None, 0, None, 0, 0, 0))),
        memory=jax.jit(memory),
    )


def _fresh(agent: Agent) -> Any:
    return agent.init(jax.random.key(0), jax.tree.map(jnp.float32, agent.hypers))


def _needed(agent: Agent, state: Any) -> list[bool]:
    """Tell which leaves of the state acting reads: not the replay, which is large."""
    n = agent.num_envs
    hypers = jax.tree.map(lambda x: jax.ShapeDtypeStruct((), np.float32), agent.hypers)
    noise = jax.eval_shape(lambda: agent.noise(jax.random.key(0), n))
    memory = jax.eval_shape(lambda: agent.memory(n))

    def act(state: Any, noise: Any, hypers: Any, memory: Memory, obs: Array) -> Any:
        return agent.act(noise, hypers, state, memory, obs, True)

    obs = spaces.abstract(agent.observation, n)
    jaxpr = jax.make_jaxpr(act)(state, noise, hypers, memory, obs).jaxpr
    used = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[1]
    return used[: len(jax.tree.leaves(state))]


def _blank(x: Any) -> Array:
    """Make a leaf that is not read."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), x.shape)
    return jnp.zeros(x.shape, x.dtype)


class Rollout(NamedTuple):
    """What an actor has collected for B members in its n environments each.

    steps: Transition, leaves [B, T, n, ...]. count: [B, n], episodes that ended. sums: {name:
    [B, n]} over them. once: bool[B, n], whether an environment has finished one since the start.
    version: the update after which the parameters are from.
    """

    steps: Transition
    count: np.ndarray
    sums: dict[str, np.ndarray]
    once: np.ndarray
    version: int


class Episodes:
    """Statistics of episodes in any number of environments, kept step by step."""

    def __init__(self, shape: tuple[int, ...], info: Sequence[str]):
        """Begin with no episode."""
        self.shape, self.info = shape, tuple(info)
        self.returns, self.lengths = np.zeros(shape), np.zeros(shape)
        self.once = np.zeros(shape, bool)
        self.begin()

    def begin(self) -> None:
        """Forget the episodes that have ended, not those in progress."""
        self.count = np.zeros(self.shape)
        names = ("episode_return", "episode_length", *self.info)
        self.sums = {name: np.zeros(self.shape) for name in names}

    def add(self, step: HostStep) -> None:
        """Add a step of all environments."""
        done = (step.terminated | step.truncated).reshape(self.shape)
        self.returns += step.reward.reshape(self.shape)
        self.lengths += 1
        ended = {"episode_return": self.returns, "episode_length": self.lengths, **step.info}
        for name, x in ended.items():
            self.sums[name][done] += np.reshape(x, self.shape)[done]
        self.count += done
        self.once |= done
        self.returns[done] = self.lengths[done] = 0


class Exchange:
    """Where actors get parameters and leave rollouts, and a learner does the opposite."""

    def __init__(self, actors: int, lag: int, start: int):
        """Begin before update `start`."""
        self.lag, self.start = lag, start
        self.changed = threading.Condition()
        self.versions: dict[int, Any] = {}
        self.rollouts: list[deque[Rollout]] = [deque() for _ in range(actors)]
        self.beats = [time.monotonic()] * actors
        self.errors: list[BaseException] = []
        self.stopped = False

    def publish(self, version: int, leaves: Any) -> None:
        """Offer the parameters after `version` updates; actors have their patience from now on."""
        with self.changed:
            self.beats = [time.monotonic()] * len(self.beats)
            self.versions[version] = leaves
            for old in [one for one in self.versions if one < version - self.lag]:
                del self.versions[old]
            self.changed.notify_all()

    def parameters(self, update: int) -> tuple[int, Any] | None:
        """Wait for the parameters to act with in an update: (version, they); None to stop."""
        oldest = max(update - self.lag, self.start)
        with self.changed:
            while not self.stopped:
                known = [one for one in self.versions if one >= oldest]
                if known:
                    version = max(known) if self.lag > 1 else min(known)
                    return version, self.versions[version]
                self.changed.wait(TICK)
        return None

    def deliver(self, actor: int, rollout: Rollout) -> None:
        """Leave a rollout; waits while as many as the lag allows are not taken yet."""
        with self.changed:
            while len(self.rollouts[actor]) > self.lag and not self.stopped:
                self.changed.wait(TICK)
            self.rollouts[actor].append(rollout)
            self.changed.notify_all()

    def beat(self, actor: int) -> bool:
        """Note that an actor is alive; returns whether it should go on."""
        self.beats[actor] = time.monotonic()
        return not self.stopped

    def fail(self, error: BaseException) -> None:
        """Note why an actor has ended."""
        with self.changed:
            self.errors.append(error)
            self.changed.notify_all()

    def take(self, patience: float) -> list[Rollout]:
        """Wait for one rollout of each actor.

        Raises:
            HostError: an actor has failed, or has not made a step for `patience` seconds.
        """
        with self.changed:
            while not all(self.rollouts):
                if self.errors:
                    raise self.errors[0]
                now = time.monotonic()
                for actor, waiting in enumerate(self.rollouts):
                    if not waiting and now - self.beats[actor] > patience:
                        raise HostError(
                            f"actor {actor}: its environments did not answer within {patience:g} s"
                        )
                self.changed.wait(TICK)
            taken = [waiting.popleft() for waiting in self.rollouts]
            self.changed.notify_all()
            return taken

    def stop(self) -> None:
        """Ask all actors to end."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


class Cast(NamedTuple):
    """What actors play for B members. updates: of the whole training, for the clock."""

    agent: Agent
    env: Environment
    how: Hosted
    seeds: np.ndarray
    hypers: Any
    updates: int


class Actors:
    """The actor threads of B members: started by `with`, ended with it."""

    def __init__(self, cast: Cast, *, start: int, until: int):
        """Prepare actors for the updates start .. until - 1; nothing is opened yet."""
        self.cast, self.start, self.until = cast, start, until
        size, width = len(cast.seeds), cast.agent.num_envs // cast.how.actors
        self.size, self.width = size, width
        self.playing = playing(cast.agent, size, width)
        self.shapes = abstract_steps(cast.agent, cast.env)
        self.compiled = False
        self.exchange = Exchange(cast.how.actors, cast.how.lag, start)
        self.hosts: list[HostEnvironments] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> "Actors":
        """Open the environments and start the threads."""
        host, count = self.cast.env.host, self.cast.how.actors
        assert host is not None
        try:
            for actor in range(count):
                self.hosts.append(host.open(self._seeds(actor)))
        except BaseException:
            for one in self.hosts:
                one.close()
            raise
        for actor in range(count):
            name, work = f"actor-{actor}", partial(self._work, actor)
            self.threads.append(threading.Thread(target=work, name=name, daemon=True))
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Stop the threads, which close their environments; those that hang are left behind."""
        self.exchange.stop()
        assert self.cast.env.host is not None
        patience = self.cast.env.host.patience
        for actor, thread in enumerate(self.threads):
            silent = time.monotonic() - self.exchange.beats[actor]
            thread.join(timeout=max(1.0, patience - silent))

    def publish(self, version: int, state: Any) -> None:
        """Offer the state of the agent after `version` updates to the actors."""
        leaves = self.playing.read(state)
        if not self.compiled:  # now, as no actor is waited for yet
            self._compile(leaves)
            self.compiled = True
        self.exchange.publish(version, leaves)

    def _compile(self, leaves: Any) -> None:
        cast, clock = self.cast, Clock(np.int32(self.start), np.int32(self.cast.updates))
        noise = self.noise(0, clock)
        obs = spaces.abstract(cast.env.observation, self.size, self.width)
        done = np.zeros((self.size, self.width), bool)
        known = np.int32(0), self.playing.memory(), np.zeros(obs.shape, obs.dtype), done
        jax.block_until_ready(self.playing.act(leaves, cast.hypers, clock, noise, *known))

    def noise(self, actor: int, clock: Clock) -> PyTree:
        """Draw the noise of a rollout in an actor's environments, [B, T, n, ...]."""
        drawn, first = self.playing.noise(self.cast.seeds, clock), actor * self.width
        return jax.tree.map(lambda x: x[:, :, first : first + self.width], drawn)

    def batch(self, update: int) -> Batch:
        """Wait for the experience of an update: a Batch, leaves [B, ...].

        Raises:
            HostError: an environment failed, or does not answer.
        """
        assert self.cast.env.host is not None
        parts = self.exchange.take(self.cast.env.host.patience)
        return Batch(_joined([part.steps for part in parts], 2), self._row(update, parts))

    def _row(self, update: int, parts: Sequence[Rollout]) -> dict[str, Any]:
        """Compute means over the episodes that have ended, and count the lags, {name: f32[B]}."""
        count, once = (_joined([getattr(p, x) for p in parts], 1) for x in ("count", "once"))
        sums, total = _joined([part.sums for part in parts], 1), np.sum(count, axis=1)
        with np.errstate(invalid="ignore"):  # no episode has ended: NaN
            row = {name: np.sum(x, axis=1) / total for name, x in sums.items()}
        row |= {EPISODES: total, FINISHED: np.mean(once, axis=1)}
        lags = [update - part.version for part in parts]
        for lag in range(self.cast.how.lag + 1):
            row[f"{LAG}_{lag}"] = np.full(self.size, lags.count(lag))
        return {name: x.astype(np.float32) for name, x in row.items()}

    def _seeds(self, actor: int) -> list[int]:
        """Draw the seeds of an actor's environments: of member, environment and first update."""
        first = actor * self.width

        def draw(seed: int, column: int) -> int:
            drawn = np.random.SeedSequence([seed, column, self.start]).generate_state(1)
            return int(drawn[0] >> 1)  # Gymnasium and ALE take those below 2**31

        columns = range(first, first + self.width)
        return [draw(int(seed), column) for seed in self.cast.seeds for column in columns]

    def _work(self, actor: int) -> None:
        """Act until the last update, or until the learner stops or anything fails."""
        host = self.hosts[actor]
        try:
            stage = Stage(self, actor, host)
            for update in range(self.start, self.until):
                found = self.exchange.parameters(update)
                rollout = found and stage.play(update, *found)
                if rollout is None:
                    break
                self.exchange.deliver(actor, rollout)
        except BaseException as error:  # the learner raises it
            self.exchange.fail(error)
        finally:
            try:
                host.close()
            except Exception as error:
                self.exchange.fail(error)


class Stage:
    """One actor's environments, where they stand, and its statistics."""

    def __init__(self, actors: Actors, number: int, host: HostEnvironments):
        """Start the first episodes."""
        self.actors, self.number, self.host = actors, number, host
        self.shape = actors.size, actors.width
        info = actors.cast.env.host.info if actors.cast.env.host is not None else ()
        self.episodes = Episodes(self.shape, info)
        self.memory = actors.playing.memory()
        self.done = np.zeros(self.shape, bool)
        self.obs = self._split(host.reset())

    def play(self, update: int, version: int, leaves: Any) -> Rollout | None:
        """Collect one rollout with these parameters; None if the learner stops meanwhile."""
        cast, exchange = self.actors.cast, self.actors.exchange
        clock = Clock(np.int32(update), np.int32(cast.updates))
        noise = self.actors.noise(self.number, clock)
        steps = self._empty()
        self.episodes.begin()
        for t in range(cast.agent.rollout_length):
            act = self.actors.playing.act
            self.memory, *chosen = act(
                leaves, cast.hypers, clock, noise, np.int32(t), self.memory, self.obs, self.done
            )
            action, extras = jax.device_get(tuple(chosen))
            if not exchange.beat(self.number):
                return None
            step = self.host.step(_finite(action).reshape(-1, *action.shape[2:]))
            exchange.beat(self.number)
            self._write(steps, t, action, extras, step)
        episodes = self.episodes
        return Rollout(steps, episodes.count, episodes.sums, episodes.once.copy(), version)

    def _write(self, steps: Transition, t: int, action: Any, extras: Any, step: HostStep) -> None:
        """Write step t of a rollout, and go on to the next observations."""
        done = step.terminated | step.truncated
        lost = None if step.life_lost is None else step.life_lost & ~done
        now = Transition(
            obs=self.obs,
            action=action,
            reward=self._split(step.reward),
            terminated=self._split(step.terminated if lost is None else step.terminated | lost),
            truncated=self._split(step.truncated),
            next_obs=self._split(step.final_obs),
            extras=extras,
            life_lost=None if lost is None else self._split(lost),
        )

        def write(whole: np.ndarray, x: np.ndarray) -> None:
            whole[:, t] = x

        jax.tree.map(write, steps, now)
        self.episodes.add(step)
        self.obs, self.done = self._split(step.obs), self._split(done)

    def _empty(self) -> Transition:
        """Make arrays for a rollout, leaves [B, T, n, ...]; JAX may keep them, so they are new."""
        size, width = self.shape

        def empty(x: Any) -> np.ndarray:
            return np.empty((size, x.shape[0], width, *x.shape[2:]), x.dtype)

        return jax.tree.map(empty, self.actors.shapes)

    def _split(self, x: np.ndarray) -> np.ndarray:
        """Give environments [B * n, ...] an axis of members."""
        return np.reshape(x, (*self.shape, *x.shape[1:]))


def _joined(parts: Sequence[PyTree], axis: int) -> PyTree:
    """Join the environments of all actors."""
    if len(parts) == 1:
        return parts[0]
    return jax.tree.map(lambda *xs: np.concatenate(xs, axis=axis), *parts)


def _finite(action: np.ndarray) -> np.ndarray:
    """Replace numbers of members that have diverged, which would end the others, by zeros."""
    if action.dtype.kind != "f":
        return action
    return np.where(np.isfinite(action), action, np.zeros_like(action))
