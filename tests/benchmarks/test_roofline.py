"""Products are found in compiled programs, counted as often as they run, and can be run alone."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.roofline import Product, alone, matrix_flops, products

PLAIN = Product(((8, 16), (16, 32)), (((1,), (0,)), ((), ())))
MEMBERS = Product(((5, 8, 16), (5, 8, 4)), (((1,), (1,)), ((0,), (0,))))


@pytest.mark.parametrize(
    ("product", "flops"), [(PLAIN, 2 * 8 * 16 * 32), (MEMBERS, 2 * 5 * 8 * 16 * 4)]
)
def test_operations_of_a_product(product, flops):
    def program(left, right):
        return jax.lax.dot_general(left, right, product.dimensions)

    assert product.flops == flops
    traced = jax.make_jaxpr(program)(*map(jnp.zeros, product.sides))
    assert matrix_flops(traced.jaxpr) == flops


def train(x, kernel, updates):
    """Three products in each of some updates, and one after them."""

    def update(_, x):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ kernel), None), x, None, length=3)[0]

    return jax.lax.fori_loop(0, updates, update, x) @ kernel[:, :4]


def test_products_of_an_update_are_counted_as_often_as_they_run():
    lowered = jax.jit(train).lower(jnp.zeros((64, 48)), jnp.zeros((48, 48)), 2)
    found = products(lowered.compile().as_text())
    assert sum(found.values()) == 3
    assert {product.flops for product in found} == {2 * 64 * 48 * 48}


def test_a_product_alone_runs_as_often_as_it_says():
    contestant = alone(MEMBERS)
    traced = jax.make_jaxpr(contestant.train)(jax.random.key(0))
    assert matrix_flops(traced.jaxpr) == contestant.steps * MEMBERS.flops
    # The value of each product, 8 equal pairs, is added up.
    sides = jax.random.uniform(jax.random.key(0))
    total = jax.jit(contestant.train)(jax.random.key(0))
    assert jnp.allclose(total, contestant.steps * 8 * sides**2, rtol=1e-3)
