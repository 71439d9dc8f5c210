"""Types of the suite: every concept is a NamedTuple of arrays or of pure functions.

Shape letters, used in every docstring of the package: T time, N parallel environments, B minibatch,
A actions, H units of a layer, C configurations, S seeds. `f32[T, N]` is a float32 array of that
shape.

Static things (sizes, functions, names) are arguments of builders; traced things (parameters, keys,
hyper-parameters, environment parameters) are arguments of the functions that builders return.
Nothing traced is ever stored in a closure, so every function below may be vmapped, scanned,
differentiated and resumed.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.host import Host

Array = jax.Array
Key = jax.Array
PyTree = Any
Memory = Any
Path = tuple[str, ...]


class Box(NamedTuple):
    """Arrays of one shape and dtype within bounds.

    shape: shape of one element, without batch axes.
    dtype: name of the numpy dtype, such as `"float32"` or `"uint8"`.
    low, high: inclusive bounds; one number, or a tuple with one number per entry of the last axis.
    categories: number of codes of each channel of the last axis, if entries are category codes;
        empty if they are quantities. Encoders embed category codes and never scale them.
    tasks: number of last entries of the last axis that are a one-hot task label; 0 without a label.
    frames: number of pictures that are stacked in the last axis, of steps that follow each other,
        the newest last, zeros before an episode's first: a replay keeps each once. 0: no stack.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float | tuple[float, ...] = -float("inf")
    high: float | tuple[float, ...] = float("inf")
    categories: tuple[int, ...] = ()
    tasks: int = 0
    frames: int = 0


class Discrete(NamedTuple):
    """The integers 0 .. n-1, as int32.

    valid: for each task, which actions it has, if tasks differ in that; empty if not. Agents give
        the other actions no probability; observations must tell the task (`Box.tasks`).
    """

    n: int
    valid: tuple[tuple[bool, ...], ...] = ()


Space = Box | Discrete


class TimeStep(NamedTuple):
    """Result of one environment step (unbatched from Environment.step, axis N in the engine).

    obs: the observation to act on next: the successor, or a start observation where the engine has
        reset.
    reward: f32[].
    terminated: bool[], the task ended: the successor has no value.
    truncated: bool[], the episode was cut (time limit): the successor has a value. Both may be
        True.
    final_obs: the true successor of the action, whether or not a reset followed.
    info: scalars that describe the episode, read by the engine at its last step (for example
        `success`).
    life_lost: bool[], agents learn from this step as from a termination, although the episode goes
        on (`envs.wrappers.episodic_life`); None where there are no lives.
    discount: f32[], in [0, 1], what the value of the successor is worth at this step: agents
        multiply their own discount by it. For steps of unequal duration, such as gamma to the power
        of seconds; None in environments that are not `Environment.discounted`.
    """

    obs: Array
    reward: Array
    terminated: Array
    truncated: Array
    final_obs: Array
    info: Mapping[str, Array]
    life_lost: Array | None = None
    discount: Array | None = None


class Environment(NamedTuple):
    """One task: pure functions of one unbatched episode, without auto-reset.

    name: the id, for messages and run folders.
    observation, action: spaces of `obs` and `action`.
    time_limit: steps after which an episode is certainly over; None when nothing bounds it. `limit`
        gives it for other parameters.
    params: default parameters, a pytree of arrays or numbers; they may be swept without
        recompiling.
    init: (key, params) -> (state, obs).
    step: (key, params, state, action) -> (state, TimeStep). A step after the end of an episode is
        meaningless but must be finite: the engine replaces the state before it is used.
    render: (params, state) -> u8[height, width, 3], or None where the environment draws nothing.
    phase: (params, Clock) -> (params in force during an update, bool[] whether a phase begins with
        that update, so that all episodes start anew); None where parameters never change.
    tasks: names of the tasks that are played side by side, if there are several. `params` is then a
        tuple with one entry per task, and the functions above take one entry; they tell the task
        from its structure. Of N environments, number i plays task i % len(tasks).
    limit: params -> the time limit with these parameters, a number of steps []; None where it is
        always `time_limit`.
    sample_task: (key, params) -> parameters of one task, drawn where a lifetime begins
        (`purejaxrl_suite.meta`); `params` describe the distribution then, and are those of a task
        themselves. None where all lifetimes have the same task.
    recipe: how it was made, one line for its maker and one for each wrapper (`envs.recipe`);
        compared and shown, never run. () for an environment of the user's own.
    discounted: whether steps have a discount of their own (`TimeStep.discount`). Only agents whose
        `Agent.discounted` says that they learn with it may act there.
    host: how it is played outside of compiled programs, in which case `init` and `step` only raise;
        None for an environment in JAX.
    """

    name: str
    observation: Box
    action: Space
    time_limit: int | None
    params: PyTree
    init: Callable[[Key, PyTree], tuple[PyTree, Array]]
    step: Callable[[Key, PyTree, PyTree, Array], tuple[PyTree, TimeStep]]
    render: Callable[[PyTree, PyTree], Array] | None = None
    phase: Callable[[PyTree, "Clock"], tuple[PyTree, Array]] | None = None
    tasks: tuple[str, ...] = ()
    limit: Callable[[PyTree], Array | float] | None = None
    sample_task: Callable[[Key, PyTree], PyTree] | None = None
    recipe: tuple[str, ...] = ()
    discounted: bool = False
    host: Host | None = None


class Transition(NamedTuple):
    """Experience of one rollout; leaves [T, N, ...].

    next_obs is the true successor of (obs, action), also where the episode ended: obs[t + 1] is a
    start observation there. extras is what `Agent.act` returned beside the action
    (log-probabilities, memory ...). life_lost tells which of `terminated` are only lost lives
    in an episode that goes on (`TimeStep.life_lost`); None where there are no lives. discount is
    that of each step (`TimeStep.discount`); None where steps have none of their own.
    """

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: Array
    extras: Mapping[str, PyTree]
    life_lost: Array | None = None
    discount: Array | None = None

    def discounts(self, gamma: Array | float) -> Array | float:
        """Return the factor of each successor's value: gamma, or f32[T, N] if steps differ."""
        return gamma if self.discount is None else gamma * self.discount

    @property
    def done(self) -> Array:
        """Tell where returns end, bool[T, N]: at an end of the episode or at a lost life."""
        return self.terminated | self.truncated

    @property
    def starts(self) -> Array:
        """Tell which steps start an episode, where the agent acts with an empty memory, bool[T, N].

        False in the first step, whose memory is known.
        """
        ended = self.done if self.life_lost is None else self.done & ~self.life_lost
        return jnp.concatenate([jnp.zeros_like(ended[:1]), ended[:-1]])


class Learner(NamedTuple):
    """Parameters and the optimizer's state: what gradient descent changes."""

    params: PyTree
    opt_state: PyTree


class Samples(NamedTuple):
    """What a probe has looked at: B steps, and what the agent thinks of them; no axis of time.

    obs, next_obs: [B, ...], as the network reads them; with replay of n steps next_obs is n later.
    action: [B, ...]. terminated: bool[B], where next_obs means nothing. value: f32[B], of obs, in
    the rewards that the agent learns from.
    """

    obs: Array
    action: Array
    next_obs: Array
    terminated: Array
    value: Array


class Probe(NamedTuple):
    """Activations and gradients of one forward and one backward pass on a batch.

    features: {layer: f32[B, ..., H]}, activations.
    feature_grads: the same structure, dL/dfeature.
    grads: like params, raw: before clipping, masking and the optimizer.
    samples: the batch, in the order of the features; None for an agent that does not show it.
    """

    features: Mapping[str, Array]
    feature_grads: Mapping[str, Array]
    grads: PyTree
    samples: Samples | None = None


class Edge(NamedTuple):
    """Wiring of one group of units, so that surgery reads data and not layer names.

    layer: key of the units in `Internals.features`; their index is the last axis of the feature.
    units: how many there are (H).
    incoming: paths of the parameter leaves whose last axis indexes the units (kernel, bias, norm
        scale ...).
    outgoing: paths of the kernels whose second-to-last axis is fed by the units.
    tile: an outgoing row r belongs to unit r % units, and there are units * tile rows: 1 for dense
        -> dense and conv -> conv, height * width where an NHWC feature is flattened into a dense
        layer. Where the same units feed convolutions too, it is the tile of the dense layer.
    recyclable: False for units that must not be re-initialised one by one (gates of a recurrent
        cell).
    """

    layer: str
    units: int
    incoming: tuple[Path, ...]
    outgoing: tuple[Path, ...]
    tile: int = 1
    recyclable: bool = True


class Internals(NamedTuple):
    """Activations and other intermediate results of a forward pass, beside its output.

    features: {layer: f32[B, ..., H]}, activations after the non-linearity, with taps added.
    memory: the next memory of a recurrent network, () otherwise.
    router: for each mixture of experts `LAYER/probabilities` f32[B, tokens, E], `LAYER/load`
        f32[B, E], the share of the work of each expert, and `LAYER/dropped` f32[B]; {} otherwise.
    aux_loss: f32[], auxiliary losses of the network itself (load balancing), 0 otherwise.
    """

    features: Mapping[str, Array]
    memory: Memory
    router: Mapping[str, Array]
    aux_loss: Array | float


class Apply(Protocol):
    """One step of a network; some take more inputs: actions, quantile fractions."""

    def __call__(
        self,
        params: PyTree,
        obs: Array,
        memory: Memory = (),
        taps: Mapping[str, Array] | None = None,
        *args: Any,
        **inputs: Any,
    ) -> tuple[Any, Internals]:
        """Apply the network to observations [B, ...]: (output, Internals)."""
        ...


class Unroll(Protocol):
    """T steps of a network."""

    def __call__(
        self,
        params: PyTree,
        obs: Array,
        memory: Memory,
        starts: Array,
        taps: Mapping[str, Array] | None = None,
        *args: Any,
        **inputs: Any,
    ) -> tuple[Any, Internals]:
        """Apply the network to observations [T, B, ...]: (output, Internals)."""
        ...


class Network(NamedTuple):
    """A network as functions.

    init: key -> params, a nested dict with the namespaces encoder, bridge, trunk, heads and aux, as
        present.
    apply: (params, obs[B, ...], memory, taps) -> (output, Internals): one step. `memory` is () for
        feed-forward networks. `taps` is {} or zeros shaped like `Internals.features`: they are
        added to the features, so the gradient with respect to a tap is dL/dfeature.
    unroll: (params, obs[T, B, ...], memory, starts bool[T, B], taps) -> (output [T, B, ...],
        Internals): T steps. `memory` is the memory before step 0 and is reset before each step that
        `starts` an episode. Features and `Internals.memory` (after each step) have leading axes
        [T, B].
    wiring: one Edge per hidden layer.
    memory: B -> initial memory, leaves [B, ...]; () for feed-forward networks.
    constrain: optax transformation -> the one that agents use in its place. It adds to any
        optimizer regularisers and projections of the parameters that act at every gradient step.
    project: learner -> learner: restores what `constrain` keeps, such as zeros outside of masks,
        after an intervention has changed the learner.
    """

    init: Callable[[Key], PyTree]
    apply: Apply
    unroll: Unroll
    wiring: tuple[Edge, ...]
    memory: Callable[[int], Memory] = lambda batch: ()
    constrain: Callable[[Any], Any] = lambda optimizer: optimizer
    project: Callable[[Learner], Learner] = lambda learner: learner


class Minibatch(Protocol):
    """Fields that the minibatch of every agent has; an agent's own type may have more.

    Agents that learn from rollouts have leaves [L, B, ...], B sequences of L steps (L is 1 without
    a memory). Agents with replay have leaves [B, ...]; their reward and next_obs span n steps: the
    discounted sum, and the observation after the last. obs, next_obs and action are what the
    network is given: normalized, augmented or scaled to the bounds, as configured.
    """

    @property
    def obs(self) -> Array:
        """Return the observations."""
        ...

    @property
    def action(self) -> Array:
        """Return the actions taken there."""
        ...

    @property
    def reward(self) -> Array:
        """Return the rewards, f32[L, B] or f32[B]."""
        ...

    @property
    def terminated(self) -> Array:
        """Tell where next_obs has no value: bool, shaped like reward."""
        ...

    @property
    def truncated(self) -> Array:
        """Tell where the episode was cut: bool, shaped like reward."""
        ...

    @property
    def next_obs(self) -> Array:
        """Return the true successors, also where episodes end."""
        ...


class LossInputs(NamedTuple):
    """Argument of an `ExtraLoss`: the data of one gradient step inside the agent's own loss.

    Attributes:
        params: the parameters that the gradient is taken with respect to. In SAC and TD3 those that
            the step does not move are constants.
        network: their network, to apply it to more than the minibatch's obs.
        output: its output for `batch.obs`, and for `batch.action` if it reads actions.
        internals: the named features, router and memory of that same forward pass.
        batch: the minibatch, of the agent's own type; `Minibatch` has the fields that all of them
            have.
        target: the regression target for `batch`, as the agent's docstring defines it; None in the
            loss of an actor.
        hypers: the agent's Hypers in force, after annealing.
        key: for randomness in the extra loss; different in every gradient step.
        target_params: parameters of the target network in that step; None for agents without one.
    """

    params: PyTree
    network: Network
    output: PyTree
    internals: Internals
    batch: Minibatch
    target: PyTree
    hypers: Any
    key: Key
    target_params: PyTree = None


ExtraLoss = Callable[[LossInputs], tuple[Array, Mapping[str, Array]]]
"""LossInputs -> (f32[], {name: f32[]}): a term to add to an agent's loss, and metrics of it.

The function multiplies the term by its weight, a constant or a function of `hypers`. Its gradient
must be finite, also where the weight is 0.
"""


class Estimates(NamedTuple):
    """Value estimates of an agent for observations [N, ...], in the rewards that it learns from.

    value: f32[N], the discounted value of the observation: from a value network, or the value of
        the greedy action.
    q: f32[N, A], the value of each discrete action, `spaces.IMPOSSIBLE` for actions that a task
        does not have; f32[N], the value of the given actions, where they are continuous; or None.
    probabilities: f32[N, A], of discrete actions, if the policy is a distribution; else None.
    """

    value: Array
    q: Array | None = None
    probabilities: Array | None = None


class Act(Protocol):
    """Type of `Agent.act`."""

    def __call__(
        self, noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool
    ) -> tuple[Memory, Array, Mapping[str, PyTree]]:
        """Choose actions for observations [N, ...]: (memory, action[N, ...], extras)."""
        ...


class Estimate(Protocol):
    """Type of `Agent.estimate`."""

    def __call__(
        self, hypers: Any, state: Any, memory: Memory, obs: Array, action: Array | None = None
    ) -> Estimates:
        """Estimate values at observations [N, ...], and of continuous actions if given."""
        ...


class Agent(NamedTuple):
    """A learning algorithm as functions; one paper, one file in `agents/`.

    name: for messages and run folders.
    observation, action: the spaces it was built for; the engine refuses an environment with others.
    hypers: default Hypers, a NamedTuple of floats: what may be swept, annealed or differentiated.
    num_envs, rollout_length: N and T of the Transition that `update` takes.
    init: (key, hypers) -> state, arrays only; `state.learner` is a Learner.
    act: (noise, hypers, state, memory, obs[N, ...], explore) -> (memory, action[N, ...], extras).
        `explore` is a Python bool: False acts greedily, with the same extras.
    update: (key, hypers, state, Transition[T, N]) -> (state, metrics {name: f32[]}).
    probe: (key, hypers, state, Transition[T, n]) -> Probe, on the agent's own loss; n <= N: the
        first of its environments.
    noise: (key, N) -> all random numbers of one `act`, leaves [N, ...]. The engine draws those of
        a whole rollout at once: threefry inside the step loop would be many of its kernels.
    memory: N -> initial memory of a recurrent agent, leaves [N, ...]; () otherwise.
    anneal: (hypers, Clock) -> the hypers in force at that time; `Clock.progress` is the fraction of
        training that is over.
    network: its network, for metrics and interventions; None if nothing is learnt.
    model: what its builder takes as `network`, where that is more than the network, as BBF's with
        self-prediction; None elsewhere.
    see: (state, obs[B, ...]) -> the network's input for obs.
    config: the Config that it was built with, a NamedTuple; () where an agent has none.
    gradient_steps: how many an update makes, once the agent learns; None where it does not say.
    maintain: (key, Clock, hypers in force, state, Transition[T, N]) -> (state, metrics), after
        every update: rare work of the agent itself, such as new masks of a sparse network; None for
        an agent without any. The clock is not batched over members, so a condition on it is cheap.
    least_updates: the shortest run in which everything that it does can happen, such as new masks;
        shorter ones are refused.
    initial: names of hyper-parameters that `init` alone reads; a member keeps what it began with.
    evaluated: (hypers in force, state, means {name: f32[]}) -> state, after each evaluation during
        training, whose row the means are; its replay must not be changed. An agent that has it
        cannot be trained without `evaluate_every`. None for an agent that reads no evaluations.
    estimate: (hypers, state, memory, obs[N, ...], action[N, ...] or None) -> Estimates,
        deterministic; None for an agent without estimates. `action` is for continuous actions
        only; None means the greedy ones.
    policies: {name: act}, further policies that are evaluated beside `act`, such as that of a
        second learner; they share its noise and its memory's shape.
    offline: (state, Transition[E]) -> the state after a first look at the whole data set, such as
        with its statistics; before the first update. Only agents have it that learn from data sets
        alone (`engine.dataset`): they learn once from each step that they are given, so the engine
        refuses to let them collect any. None for agents that may.
    after: the agent of the stage that it goes on from, such as "behaviour": alone it is refused. ""
        for agents that begin by themselves.
    discounted: whether it was built for an environment whose steps have discounts of their own
        (`Environment.discounted`), and learns with them. The engine refuses other agents there.
    online: (agent, env, reset_pool) -> the source of experience (`engine.source.Source`) of an
        agent that acts otherwise than in N environments side by side: a meta-learner, whose agents
        live many lifetimes. None for all others.
    """

    name: str
    observation: Box
    action: Space
    hypers: Any
    num_envs: int
    rollout_length: int
    init: Callable[[Key, Any], Any]
    act: Act
    update: Callable[[Key, Any, Any, Transition], tuple[Any, Mapping[str, Array]]]
    probe: Callable[[Key, Any, Any, Transition], Probe]
    noise: Callable[[Key, int], PyTree]
    memory: Callable[[int], Memory] = lambda batch: ()
    anneal: Callable[[Any, "Clock"], Any] = lambda hypers, clock: hypers
    network: Network | None = None
    see: Callable[[Any, Array], Array] = lambda state, obs: obs
    config: Any = ()
    estimate: Estimate | None = None
    gradient_steps: int | None = None
    maintain: "Maintain | None" = None
    least_updates: int = 1
    initial: tuple[str, ...] = ()
    model: Any = None
    policies: Mapping[str, Act] = {}
    offline: Callable[[Any, Transition], Any] | None = None
    evaluated: "Evaluated | None" = None
    after: str = ""
    discounted: bool = False
    online: Callable[["Agent", Environment, int], Any] | None = None


Maintain = Callable[[Key, "Clock", Any, Any, Transition], tuple[Any, Mapping[str, Array]]]
"""(key, clock, hypers in force, state, rollout) -> (state, metrics), after every update."""

Evaluated = Callable[[Any, Any, Mapping[str, Array]], Any]
"""(hypers in force, state, means of an evaluation {name: f32[]}) -> state."""


class Builder(Protocol):
    """A function that builds an agent for an environment, such as `ppo`; None is the default."""

    def __call__(self, env: Environment, config: Any, network: Any, hypers: Any, /) -> Agent:
        """Build the agent."""
        ...


class Clock(NamedTuple):
    """Progress of training, kept by the engine.

    It is never batched over members, so conditions on it stay cheap.
    update: i32[], updates done. updates: i32[], updates of the whole run.
    """

    update: Array | np.int32
    updates: Array | np.int32

    @property
    def progress(self) -> Array:
        """Return the fraction f32[] of the run that is over: 1 at its end, and below 1 before."""
        done, of = (jnp.asarray(x, jnp.float32) for x in self)
        # float32 may round the last updates to 1.
        return jnp.where(self.update < self.updates, jnp.minimum(done / of, 1.0 - 2.0**-24), 1.0)


ENDED = Clock(np.int32(2**31 - 1), np.int32(2**31 - 1))
"""The clock after training, to act with a trained agent."""


class Run(NamedTuple):
    """Everything a member carries from one update to the next: arrays only, of fixed structure.

    agent: the agent's state. env, obs: states and observations of the N environments. memory: of a
        recurrent agent. episode_return f32[N], episode_length i32[N]: of the episodes in progress.
    finished_once: bool[N], whether an environment has finished an episode since all environments
        last started: at the beginning, or where a phase of a stream began.
    intervention: the state of the intervention; () without one.
    pool: start states that several updates share; () where each rollout draws its own.
    """

    agent: Any
    env: PyTree
    obs: Array
    memory: Memory
    episode_return: Array
    episode_length: Array
    finished_once: Array
    intervention: PyTree = ()
    pool: PyTree = ()


class Inspection(NamedTuple):
    """Input of metrics and interventions: an agent right after an update, computed on demand.

    network: the agent's network; its wiring says which units feed which, its init draws fresh
        parameters.
    probe: Learner -> Probe, on the agent's own loss.
    obs: () -> observations [B, ...] of the last rollout, as inputs of the network.
    actions: () -> (actions, actions), [B, ...] each: greedy ones for these observations, before and
        after the update.
    sample: (learner, i i32[]) -> raw gradients of that loss on a sample of its own, i < samples:
        environment i of the last rollout alone, or a batch from the replay, drawn for i.
    samples: how many there are: the environments that are inspected.

    On-policy agents are inspected on a part of the last rollout, agents with replay on a batch
    from the replay.
    """

    network: Network
    probe: Callable[[Learner], Probe]
    obs: Callable[[], Array]
    actions: Callable[[], tuple[Array, Array]]
    sample: Callable[[Learner, Array], PyTree]
    samples: int


Metric = Callable[[Learner, Probe, Inspection], Mapping[str, Array]]
"""(learner, its probe, inspection) -> {name: f32[]}, a measurement right after an update."""


class Intervention(NamedTuple):
    """A change of the learner between updates, or only a measurement of it.

    name: its name with all settings, for messages and run folders.
    init: (network, learner) -> its state, arrays only; it holds thresholds, fractions and rates, so
        members of one program may differ in them.
    apply: (key, clock, state, learner, inspection) -> (learner, state, {name: f32[]}), after every
        update. The clock is not batched over members: conditions on it alone are cheap.
    counters: names of its metrics that are counts, such as `redo_recycled`. If a row of the curves
        spans several updates, counts and their parts by layer (`NAME.LAYER`) are summed over them;
        all other metrics are averaged.
    """

    name: str
    init: Callable[[Network, Learner], PyTree]
    apply: Callable[
        [Key, Clock, PyTree, Learner, Inspection], tuple[Learner, PyTree, Mapping[str, Array]]
    ]
    counters: tuple[str, ...] = ()
