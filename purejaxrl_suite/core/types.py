"""The vocabulary of the suite: every concept is a NamedTuple of arrays or of pure functions.

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
    categories: not empty when the entries are category codes and not quantities: the number of
        codes of each channel of the last axis. Encoders embed such observations, they never scale
        them.
    tasks: not 0 when the last so many entries of the last axis tell, one-hot, which task it is.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float | tuple[float, ...] = -float("inf")
    high: float | tuple[float, ...] = float("inf")
    categories: tuple[int, ...] = ()
    tasks: int = 0


class Discrete(NamedTuple):
    """The integers 0 .. n-1, as int32.

    valid: not empty when tasks differ in their actions: for each task, which of them it has. Agents
        give the others no probability; observations must tell the task (`Box.tasks`).
    """

    n: int
    valid: tuple[tuple[bool, ...], ...] = ()


Space = Box | Discrete


class TimeStep(NamedTuple):
    """What one environment step returns (Environment.step: unbatched; the engine: leading axis N).

    obs: the observation to act on next: the successor, or a start observation where the engine has
        reset.
    reward: f32[].
    terminated: bool[], the task ended: the successor has no value.
    truncated: bool[], the episode was cut (time limit): the successor has a value. Both may be
        True.
    final_obs: the true successor of the action, whether or not a reset followed.
    info: scalars that describe the episode, read by the engine at its last step (for example
        `success`).
    life_lost: bool[], agents are to learn as from a termination, although the episode goes on
        (`envs.wrappers.episodic_life`); None where that does not exist.
    """

    obs: Array
    reward: Array
    terminated: Array
    truncated: Array
    final_obs: Array
    info: Mapping[str, Array]
    life_lost: Array | None = None


class Environment(NamedTuple):
    """One task: pure functions of one unbatched episode, without auto-reset.

    name: the id, for messages and run folders.
    observation, action: spaces of `obs` and `action`.
    time_limit: steps after which an episode is certainly over; None when nothing bounds it. With
        other parameters it may be another one: `limit`.
    params: default parameters, a pytree of arrays or numbers: what may be swept without
        recompiling.
    init: (key, params) -> (state, obs).
    step: (key, params, state, action) -> (state, TimeStep). The step after an end is undefined but
        finite to
        compute: the engine replaces the state before it is used.
    render: (params, state) -> u8[height, width, 3], or None where the environment draws nothing.
    phase: (params, clock) -> (params in force during an update, bool[], whether a phase begins with
        it, so that all episodes start anew); None where nothing changes. The clock is `Clock`.
    tasks: names of the tasks that are played side by side, if there are several. `params` is then a
        tuple with an entry for each, and the functions above take one entry of it: whose entry it
        is, its structure says. Of N environments, number i plays task i % len(tasks).
    limit: params -> the time limit with these parameters, a number of steps []; None where it is
        `time_limit` whatever they are.
    recipe: how it was made, a line for its maker and one for each wrapper (`envs.recipe`); what is
        compared and shown, never run. () for an environment of the user's own.
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
    recipe: tuple[str, ...] = ()


class Transition(NamedTuple):
    """Experience of one rollout; leaves [T, N, ...].

    next_obs is the true successor of (obs, action), also where the episode ended: obs[t + 1] is a
    start observation there. extras is what `Agent.act` returned beside the action
    (log-probabilities, memory ...). life_lost tells which of `terminated` are lives that were lost
    in an episode that goes on (`TimeStep.life_lost`); None where that does not exist.
    """

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: Array
    extras: Mapping[str, PyTree]
    life_lost: Array | None = None

    @property
    def done(self) -> Array:
        """bool[T, N]: the return ends here: with the episode, for either reason, or with a life."""
        return self.terminated | self.truncated

    @property
    def starts(self) -> Array:
        """bool[T, N]: an episode starts with this step, and the agent acted without a memory.

        False in the first step, whose memory is known.
        """
        ended = self.done if self.life_lost is None else self.done & ~self.life_lost
        return jnp.concatenate([jnp.zeros_like(ended[:1]), ended[:-1]])


class Learner(NamedTuple):
    """What gradient descent changes: parameters and the optimizer's state."""

    params: PyTree
    opt_state: PyTree


class Probe(NamedTuple):
    """What one forward and one backward pass on a batch show inside a network.

    features: {layer: f32[B, ..., H]}, activations.
    feature_grads: the same structure, dL/dfeature.
    grads: like params, raw: before clipping, masking and the optimizer.
    """

    features: Mapping[str, Array]
    feature_grads: Mapping[str, Array]
    grads: PyTree


class Edge(NamedTuple):
    """How one group of units is wired, so that surgery reads data and never layer names.

    layer: key of the units in `Internals.features`; their index is the last axis of the feature.
    units: how many there are (H).
    incoming: paths of the parameter leaves whose last axis indexes the units (kernel, bias, norm
        scale ...).
    outgoing: paths of the kernels whose second-to-last axis is fed by the units.
    tile: an outgoing row r belongs to unit r % units, and there are units * tile rows: 1 for dense
        -> dense and conv -> conv, height * width where an NHWC feature is flattened into a dense
        layer. Where the same units feed convolutions too, it is that of the dense reader.
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
    """What a forward pass shows beside its output.

    features: {layer: f32[B, ..., H]}, activations after the non-linearity, with taps added.
    memory: the next memory of a recurrent network, () otherwise.
    router: of each mixture of experts `LAYER/probabilities` f32[B, tokens, E], `LAYER/load`
        f32[B, E], what every expert does as a share of all, `LAYER/dropped` f32[B]; {} otherwise.
    aux_loss: f32[], auxiliary losses of the network itself (load balancing), 0 otherwise.
    """

    features: Mapping[str, Array]
    memory: Memory
    router: Mapping[str, Array]
    aux_loss: Array | float


class Apply(Protocol):
    """One step of a network; some read more inputs: actions, fractions of quantiles."""

    def __call__(
        self,
        params: PyTree,
        obs: Array,
        memory: Memory = (),
        taps: Mapping[str, Array] | None = None,
        *args: Any,
        **inputs: Any,
    ) -> tuple[Any, Internals]:
        """Give (output, Internals) of observations [B, ...]."""
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
        """Give (output, Internals) of observations [T, B, ...]."""
        ...


class Network(NamedTuple):
    """A network as functions.

    init: key -> params, a nested dict with the namespaces encoder, bridge, trunk, heads and aux, as
        present.
    apply: (params, obs[B, ...], memory, taps) -> (output, Internals): one step. `memory` is () for
        feed-forward networks. `taps` is {} or zeros shaped like `Internals.features`: they are
        added to the features, so the gradient with respect to a tap is dL/dfeature.
    unroll: (params, obs[T, B, ...], memory, starts bool[T, B], taps) -> (output [T, B, ...],
        Internals): T steps, `memory` being the one before step 0 and forgotten before each step
        that `starts` an episode. Features and `Internals.memory` (after each step) have leading
        axes [T, B].
    wiring: one Edge per hidden layer.
    memory: B -> initial memory, leaves [B, ...]; () for feed-forward networks.
    constrain: optax transformation -> the one that agents use in its place: where regularisers and
        projections of the parameters, made at every gradient step, are put around any optimizer.
    """

    init: Callable[[Key], PyTree]
    apply: Apply
    unroll: Unroll
    wiring: tuple[Edge, ...]
    memory: Callable[[int], Memory] = lambda batch: ()
    constrain: Callable[[Any], Any] = lambda optimizer: optimizer


class Minibatch(Protocol):
    """What one gradient step learns from, whatever else an agent's own type of it holds.

    Leaves are [L, B, ...], B sequences of L steps, of agents that learn from rollouts (L is 1
    without a memory), and [B, ...] of agents with replay. reward and next_obs are then those of
    n steps: the discounted sum, and the observation after the last. obs, next_obs and action are
    as the network is given them: normalized, augmented, in units of the bounds, as configured.
    """

    @property
    def obs(self) -> Array:
        """What was observed."""
        ...

    @property
    def action(self) -> Array:
        """What was done then."""
        ...

    @property
    def reward(self) -> Array:
        """What was earned, f32[L, B] or f32[B]."""
        ...

    @property
    def terminated(self) -> Array:
        """Whether next_obs has no value: bool, shaped like reward."""
        ...

    @property
    def truncated(self) -> Array:
        """Whether the episode was cut there: bool, shaped like reward."""
        ...

    @property
    def next_obs(self) -> Array:
        """The true successor, also at ends."""
        ...


class LossInputs(NamedTuple):
    """What an `ExtraLoss` is given: one gradient step, seen from inside the agent's own loss.

    params: the parameters that the gradient is taken with respect to. Of SAC and TD3 those that
        the step does not move are constants.
    network: the network that they are parameters of, to apply it to more than the minibatch's obs.
    output: what it puts out for `batch.obs`, and for `batch.action` if it reads actions.
    internals: the named features, router and memory of that same forward pass.
    batch: the minibatch, of the agent's own type; `Minibatch` has the fields that all of them have.
    target: what the network is to predict for `batch`, as the agent's docstring says it; None in
        the loss of an actor.
    hypers: the agent's Hypers in force, as annealed.
    key: for what is random in the extra loss, another one in every gradient step.
    """

    params: PyTree
    network: Network
    output: PyTree
    internals: Internals
    batch: Minibatch
    target: PyTree
    hypers: Any
    key: Key


ExtraLoss = Callable[[LossInputs], tuple[Array, Mapping[str, Array]]]
"""LossInputs -> (f32[], {name: f32[]}): a term to add to an agent's loss, and curves of it.

Its weight is a number of its own, or a function of `hypers`. Its gradient must be finite, also
where the weight is 0.
"""


class Estimates(NamedTuple):
    """What an agent expects of observations [N, ...], in the rewards it learns from; else None.

    value: f32[N], of the rest of the episode, discounted: of a value network, or of the greedy
        action. q: f32[N, A], of each discrete action, `spaces.IMPOSSIBLE` of those that a task does
        not have; f32[N], of the given actions, where they are continuous.
    probabilities: f32[N, A], of discrete actions, where the policy itself is a distribution.
    """

    value: Array
    q: Array | None = None
    probabilities: Array | None = None


class Act(Protocol):
    """How an agent acts."""

    def __call__(
        self, noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool
    ) -> tuple[Memory, Array, Mapping[str, PyTree]]:
        """Give (memory, action[N, ...], extras) for observations [N, ...]."""
        ...


class Estimate(Protocol):
    """How an agent tells what it expects."""

    def __call__(
        self, hypers: Any, state: Any, memory: Memory, obs: Array, action: Array | None = None
    ) -> Estimates:
        """Give Estimates for observations [N, ...]; of continuous actions, where they are given."""
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
        a whole rollout at once: threefry in the step loop would be a good part of its kernels.
    memory: N -> initial memory of a recurrent agent, leaves [N, ...]; () otherwise.
    anneal: (hypers, Clock) -> the hypers in force then; `Clock.progress` is the fraction of
        training that is over.
    network: what it learns with, for those who measure or change it; None if nothing is learnt.
    see: (state, obs[B, ...]) -> what the network is shown in place of obs.
    config: the Config that it was built with, a NamedTuple; () where an agent has none.
    estimate: (hypers, state, memory, obs[N, ...], action[N, ...] or None) -> Estimates, without
        chance; None where an agent tells none. Only continuous actions are asked for; None of them
        means the greedy ones.
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


class Clock(NamedTuple):
    """Where training stands: the engine's own, never batched over members (so conditions on it stay
    cheap).

    update: i32[], updates done. updates: i32[], updates of the whole run.
    """

    update: Array | np.int32
    updates: Array | np.int32

    @property
    def progress(self) -> Array:
        """Fraction f32[] of the run that is over: 1 at its end, and below 1 before."""
        done, of = (jnp.asarray(x, jnp.float32) for x in self)
        # float32 may round the last updates to 1.
        return jnp.where(self.update < self.updates, jnp.minimum(done / of, 1.0 - 2.0**-24), 1.0)


ENDED = Clock(np.int32(2**31 - 1), np.int32(2**31 - 1))
"""Where training stands when it is over, for those who act with what was learnt."""


class Run(NamedTuple):
    """Everything a member carries from one update to the next: arrays only, of fixed structure.

    agent: the agent's state. env, obs: the N environments and what they show. memory: of a
        recurrent agent. episode_return f32[N], episode_length i32[N]: of the episodes in progress.
    finished_once: bool[N], whether an environment has finished an episode since all of them
        started: at first, and where a phase of a stream begins.
    intervention: the state of what intervenes in training; () if nothing does.
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
    """What metrics and interventions can see of an agent right after an update, computed on demand.

    network: the agent's; its wiring says what is connected to what, its init draws fresh
        parameters.
    probe: Learner -> Probe, on the agent's own loss.
    obs: () -> observations [B, ...] of the last rollout, as the network is shown them.
    actions: () -> (actions, actions), [B, ...] each: greedy ones for these observations, before and
        after the update.

    On-policy agents are inspected on a part of the last rollout, agents with replay on what they
    replay.
    """

    network: Network
    probe: Callable[[Learner], Probe]
    obs: Callable[[], Array]
    actions: Callable[[], tuple[Array, Array]]


Metric = Callable[[Learner, Probe, Inspection], Mapping[str, Array]]
"""(learner, its probe, inspection) -> {name: f32[]}, a measurement right after an update."""


class Intervention(NamedTuple):
    """What is done to a learner between updates, or only recorded of it.

    name: what it is with all its settings, for messages and run folders.
    init: (network, learner) -> its state, arrays only; thresholds, fractions and rates are among
        them, so members of one program may differ in them.
    apply: (key, clock, state, learner, inspection) -> (learner, state, {name: f32[]}), after every
        update. The clock is not batched over members: conditions on it alone are cheap.
    counters: names of what it records that counts what it did, as `redo_recycled` does. Where a row
        of the curves is over several updates they are added up, with their parts by layer
        (`NAME.LAYER`); of all else the row has the mean of what was measured.
    """

    name: str
    init: Callable[[Network, Learner], PyTree]
    apply: Callable[
        [Key, Clock, PyTree, Learner, Inspection], tuple[Learner, PyTree, Mapping[str, Array]]
    ]
    counters: tuple[str, ...] = ()
