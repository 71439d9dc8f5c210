"""A profile's operations find the phases that the training loop names."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import tables, trace
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make
from purejaxrl_suite.plasticity.metrics import weight_norm

PATHS = {
    "jit(f)/while/body/rollout/while/body/vmap(jvp())/add": "rollout",
    "jit(f)/while/body/rollout/while/body/vmap(resets)/add": "resets",
    "jit(f)/while/body/vmap(update)/transpose(jvp(returns))/add": "returns",
    "jit(f)/while/body/update/jit(_split)/rollout/while": "update",
    "jit(f)/while/body/metrics/add": "metrics",
    "jit(f)/while/body/jit(update)/rollout/add": "rollout",
    "jit(f)/while/body/jit(update)/jit(_split)/rollout/add": "other",
    "jit(f)/while/body/add": "other",
    "jit(f)/while": "once",
    "jit(f)/resets/while/body/add": "once",
}


@pytest.mark.parametrize("path", PATHS)
def test_the_innermost_scope_in_the_loop_over_updates_wins(path):
    assert trace.phase_of(path) == PATHS[path]


HLO = """\
HloModule jit_f, is_scheduled=true

%fused (p: f32[]) -> f32[] {
  %p = f32[] parameter(0)
  ROOT %a = f32[] add(%p, %p), metadata={op_name="jit(f)/while/body/update/returns/add"}
}

%steps (s: f32[]) -> f32[] {
  %s = f32[] parameter(0)
  ROOT %copy.1 = f32[] copy(%s)
}

%more (t: f32[]) -> pred[] {
  %t = f32[] parameter(0)
  ROOT %less.1 = pred[] compare(%t, %t), direction=LT, metadata={op_name="lt"}
}

%updates (u: f32[]) -> f32[] {
  %u = f32[] parameter(0)
  %add.fusion.1 = f32[] fusion(%u), kind=kLoop, calls=%fused
  %while.2 = f32[] while(%add.fusion.1), condition=%more, body=%steps, \
metadata={op_name="jit(f)/while/body/rollout/while"}
  ROOT %copy.2 = f32[] copy(%while.2)
}

ENTRY %main (x: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %copy.3 = f32[] copy(%x)
  ROOT %while.1 = f32[] while(%copy.3), condition=%more, body=%updates, \
metadata={op_name="jit(f)/while"}
}
"""


def test_operations_without_a_name_belong_to_what_they_hold_or_are_in():
    program = trace.read_program(HLO)
    assert program.module == "jit_f" and program.containers == {"while.1", "while.2"}
    named = {"add.fusion.1": "returns", "add_fusion_1": "returns", "copy.1": "rollout"}
    named |= {"copy.2": "other", "copy.3": "once"}
    assert {name: program.phases[name] for name in named} == named


@pytest.mark.parametrize("gpu", [False, True])
def test_times_are_added_up_by_phase(gpu):
    runs = [
        (("copy.1",), "jit_f", 3000.0),
        (("copy.1",), "jit_f", 3000.0),
        (("add.fusion.1",), "jit_f", 2000.0),
        (("copy.3",), "jit_f", 5000.0),
        (("copy.1",), "jit_another", 7000.0),
        (("while.2",), "jit_f", 4000.0),
    ]
    if gpu:  # joined with the loop around it; only the kernel's name; nothing that is known
        runs += [
            (("while.2", "copy.2", "a_kernel"), "jit_f", 1000.0),
            (("", "add_fusion_1"), "", 2000.0),
            (("", "gemm"), "", 1000.0),
        ]
    program = trace.read_program(HLO)
    found = trace.breakdown(program, [trace.Event(*run) for run in runs], gpu, updates=2)
    times = {name: row["microseconds"] for name, row in found.items() if row["microseconds"]}
    if gpu:
        assert times == {"rollout": 5.0, "returns": 2.0, "other": 1.0, "once": 5.0}
        assert found["rollout"] == {"microseconds": 5.0, "share": 5 / 8, "launches": 1.5}
    else:
        assert times == {"rollout": 3.0, "returns": 1.0, "once": 5.0}
        assert found["returns"] == {"microseconds": 1.0, "share": 1 / 4, "launches": 0.5}


@pytest.mark.slow
def test_training_names_all_its_phases():
    env = make("CartPole-v1")
    agent = ppo(env, PPOConfig(num_envs=2, rollout_length=4, epochs=1, minibatches=2))
    init, _, train, *_ = make_train(agent, env, updates_per_call=2, metrics=[weight_norm])

    def many(keys, hypers):
        def member(key):
            clock = Clock(jnp.int32(0), jnp.int32(2))
            return train(key, hypers, env.params, init(key, hypers, env.params), clock)

        return jax.vmap(member)(keys)

    keys = jax.random.split(jax.random.key(0), 2)
    text = jax.jit(many).lower(keys, agent.hypers).compile().as_text()
    assert {*trace.PHASES, trace.ONCE} == set(trace.read_program(text).phases.values())


def test_the_table_leaves_out_what_a_job_has_not():
    none = {"microseconds": 0.0, "share": 0.0, "launches": 0.0}
    phases = dict.fromkeys((*trace.PHASES, trace.ONCE), none)
    phases["update"] = {"microseconds": 1500.0, "share": 1.0, "launches": 12.0}
    row = {"job": "ppo", "members": 2048, "seconds": 1.0, "traced_seconds": 1.5}
    text = tables.trace({"rows": [row | {"idle_share": None, "phases": phases}]})
    assert text.splitlines()[2] == "| ppo | 2,048 | 1.5 |  |  |  | 100.0%, 12 |  |  |  | 1.50 |"
