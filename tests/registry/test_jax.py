"""JAX functions: whatever the walk over the trace writes answers as the function does for any number of rows, or is refused by name."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from prodml_magics.errors import GateRefused, InvalidInput, Unsupported
from prodml_magics.inference.gate import check_model
from prodml_magics.inference.session import open_session
from prodml_magics.registry.build import build
from prodml_magics.registry.converters.families import family_of
from prodml_magics.registry.converters.jaxpr import convert_network, open_network, run_network

RNG = np.random.default_rng(0)


def weights(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


W, SQUARE, B, TABLE = weights(6, 4), weights(6, 6), weights(4), weights(20, 5)
KERNEL, DEEP = weights(3, 3, 2, 4), weights(3, 3, 1, 2)
MASK = jnp.asarray([True, False, True, True, False, True])


@jax.custom_jvp
def doubled(x):
    return x * 2


doubled.defjvp(lambda primals, tangents: (doubled(*primals), 2 * tangents[0]))


@jax.custom_vjp
def tripled(x):
    return x * 3


tripled.defvjp(lambda x: (tripled(x), None), lambda held, made: (3 * made,))


def attention(x):
    queries, keys, values = jnp.split(x.reshape(-1, 3, 12) @ weights_of_attention, 3, axis=-1)
    shares = jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", queries, keys) / 2.0, axis=-1)
    return jnp.einsum("bqk,bkd->bqd", shares, values)


weights_of_attention = weights(12, 12)


def normed(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt(jnp.var(x, axis=-1, keepdims=True) + 1e-5) * B[0] + B[1]


def convolved(x, **settings):
    return lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), **settings)


def pooled(x, by, start):
    return lax.reduce_window(x, start, by, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


TABLES = {
    "an affine layer": lambda x: x @ W + B,
    "softmax": lambda x: jax.nn.softmax(x @ W),
    "log softmax": lambda x: jax.nn.log_softmax(x @ W),
    "logsumexp": lambda x: jax.nn.logsumexp(x, axis=1),
    "relu, elu, selu": lambda x: jax.nn.relu(x) + jax.nn.elu(x) + jax.nn.selu(x),
    "gelu, exactly": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu, by tanh": lambda x: jax.nn.gelu(x),
    "silu, softplus, sigmoid": lambda x: jax.nn.silu(x) + jax.nn.softplus(x) + jax.nn.sigmoid(x),
    "leaky relu, hard tanh, relu6": lambda x: jax.nn.leaky_relu(x) + jax.nn.hard_tanh(x) + jax.nn.relu6(x),
    "trigonometry": lambda x: jnp.sin(x) * jnp.cos(x) + jnp.tanh(x) + jnp.arctan(x),
    "powers": lambda x: x**2 + x**3 + jnp.abs(x) ** 1.5 + jnp.exp2(x) + jnp.square(x),
    "roots and logarithms": lambda x: jnp.sqrt(jnp.abs(x)) + jnp.log1p(jnp.abs(x)) + jnp.expm1(x) + jnp.log(jnp.abs(x) + 1),
    "rounding": lambda x: jnp.floor(x) + jnp.ceil(x) + jnp.round(x) + jnp.sign(x) + jnp.fmod(x, 0.75) + x % 0.75,
    "comparisons": lambda x: jnp.where((x > 0) & ~(x >= 1) | (x < -1) ^ (x != x), x, -x) + (x == x),
    "clipping": lambda x: jnp.clip(x, -0.5, 0.5) + jnp.minimum(x, 0.1) + jnp.maximum(x, B[0]) + lax.clamp(-1.0, x, 1.0),
    "not finite": lambda x: jnp.where(jnp.isfinite(jnp.log(x)), 1.0, jnp.nan_to_num(x)),
    "a mask": lambda x: jnp.where(MASK, x, 0.0).sum(-1),
    "a mean, a variance, a norm": lambda x: jnp.stack([x.mean(1), x.var(1), jnp.linalg.norm(x, axis=1)], 1),
    "layer norm": normed,
    "reductions": lambda x: jnp.stack([x.max(1), x.min(1), x.prod(1), (x > 0).any(1) * 1.0, (x > -9).all(1) * 1.0], 1),
    "argmax and argmin": lambda x: (x.argmax(1), x.argmin(-1)),
    "a one-hot code": lambda x: jax.nn.one_hot(x.argmax(1), 6),
    "a running sum": lambda x: jnp.cumsum(x, axis=1) + jnp.flip(jnp.cumsum(jnp.flip(x, 1), axis=1), 1),
    "slices and padding": lambda x: jnp.pad(x[:, 1:5:2], ((0, 0), (1, 2)), constant_values=3.0),
    "joined and cut": lambda x: jnp.concatenate([x[:, 3:], jnp.ones((x.shape[0], 2)), x[:, :3]], 1),
    "a fixed column": lambda x: x[:, 2] - x[:, -1],
    "columns by number": lambda x: x[:, jnp.array([0, 3, 3, -1])],
    "an outer product": lambda x: jnp.einsum("bi,bj->bij", x, x),
    "a product from the left": lambda x: jnp.einsum("ji,bi->bj", SQUARE, x),
    "a quadratic form": lambda x: jnp.einsum("bi,ij,bj->b", x, SQUARE, x),
    "a bias before anything": lambda x: jnp.broadcast_to(B, (x.shape[0], 4)) * jnp.broadcast_to(B, (x.shape[0], 4)),
    "a constant answer": lambda x: jnp.zeros(x.shape[0]),
    "whole numbers": lambda x: (x * 10).astype(jnp.int32) // 3 + jnp.arange(6),
    "jit within jit": lambda x: jax.jit(lambda y: jax.nn.relu(y) @ W)(jax.jit(jnp.tanh)(x)),
    "rules for derivatives": lambda x: doubled(x) + tripled(x),
    "several columns of several axes": lambda x: x.reshape(-1, 2, 3)[:, 1, 1:],
    "checkpointed": jax.checkpoint(lambda x: jnp.sin(x) @ W),
    "vectorised": jax.vmap(lambda row: jnp.dot(row, SQUARE @ row)),
    "of several names": lambda x: {"mean": x.mean(1), "rows": (x, x * 2)},
    "a gradient": jax.vmap(jax.grad(lambda row: jnp.sum(jnp.tanh(row) ** 2))),
}
IMAGES = {
    "a convolution": lambda x: convolved(x),
    "a strided one": lambda x: lax.conv_general_dilated(
        x, KERNEL, (2, 2), ((1, 0), (2, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "a dilated one": lambda x: convolved(x, rhs_dilation=(2, 2)),
    "one by channels": lambda x: lax.conv_general_dilated(
        x, jnp.tile(DEEP, (1, 1, 1, 2)), (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
    ),
    "channels first": lambda x: lax.conv_general_dilated(jnp.transpose(x, (0, 3, 1, 2)), weights_oihw, (1, 1), "SAME"),
    "max and mean pools": lambda x: pooled(x, lax.max, -jnp.inf) + pooled(x, lax.add, 0.0) / 4,
    "a flat image": lambda x: jax.nn.relu(convolved(x)).reshape(x.shape[0], -1).sum(1),
    "channels as rows": lambda x: x.transpose(0, 3, 1, 2).reshape(x.shape[0] * 2, 64).mean(1).reshape(x.shape[0], 2),
}
weights_oihw = weights(4, 2, 3, 3)
TOKENS = {
    "an embedding": lambda x: TABLE[x].mean(1),
    "taken": lambda x: jnp.take(TABLE, x, axis=0),
    "taken and clipped": lambda x: jnp.take(TABLE, x - 3, axis=0, mode="clip"),
    "out of reach is nothing": lambda x: jnp.take(TABLE, x + 15, axis=0, mode="fill"),
    "remainders": lambda x: (x % 7, lax.rem(x, jnp.int32(4)), x & 3, x | 8, x ^ 5, ~x),
}
CASES = [
    *((name, function, RNG.normal(size=(7, 6))) for name, function in TABLES.items()),
    ("attention", attention, RNG.normal(size=(7, 36))),
    *((name, function, RNG.normal(size=(7, 8, 8, 2))) for name, function in IMAGES.items()),
    *((name, function, RNG.integers(0, 20, (7, 4))) for name, function in TOKENS.items()),
]


def opened(function, rows):
    network = open_network(function)
    whole = rows.dtype.kind == "i"
    dtype, seen = ("int64", network.seen_whole) if whole else ("float32", network.seen)
    return network._replace(shape=rows.shape[1:], dtype=dtype, seen=seen)


@pytest.mark.parametrize(("function", "rows"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_it_answers_as_jax_does_for_any_number_of_rows(function, rows):
    network = opened(function, rows)
    # compiled whole, which is faster than operation by operation
    names, expected = run_network(jax.jit(network.function), rows.astype(network.seen))
    network = network._replace(names=names)
    model = convert_network(network)
    check_model(model, trusted_exporter=True)
    session = open_session(model, device="cpu")
    assert session.output_names == network.names
    for count in (1, 2, 7):
        given = session.run({"input": rows[:count].astype(network.dtype)})
        for name, values in zip(network.names, expected, strict=True):
            assert given[name].dtype == values.dtype
            np.testing.assert_allclose(given[name], values[:count], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: jnp.sort(x, axis=1), "primitive 'sort' has no ONNX form"),
        (lambda x: lax.scan(lambda c, r: (c + r, c), jnp.zeros(x.shape[0]), x.T)[0], "primitive 'scan' has no ONNX form"),
        (lambda x: lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x), "rows beside it"),
        (lambda x: x + jax.random.normal(jax.random.key(0), (6,)), "primitive 'random"),
        (lambda x: x[1:], "rows beside it"),
        (lambda x: x * jnp.arange(x.shape[0])[:, None], "rows beside it"),
        (lambda x: jnp.linalg.inv(x[:, :, None] * x[:, None]), "primitive 'lu' has no ONNX form"),
        (lambda x: x[:, 0] if x.shape[0] > 5 else x[:, 1], "cannot be traced with a free number of rows"),
        (lambda x: jnp.take_along_axis(x, x.argsort(1), 1), "primitive 'sort'"),
        (lambda x: jnp.take_along_axis(x, x.argmax(1)[:, None], 1), "'gather' of this form has no ONNX form"),
        (lambda x: x - x.mean(), "rows beside it"),
        (lambda x: x.astype(jnp.bfloat16) * 2, "computes in bfloat16"),
        (lambda x: lax.dynamic_slice(x, (0, x[0, 0].astype(int)), (1, 2)), "rows beside it"),
    ],
)
def test_what_has_no_form_is_refused_by_name(function, says):
    with pytest.raises(Unsupported, match=says) as caught:
        convert_network(opened(function, np.ones((7, 6))))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def iris():
    from sklearn.datasets import load_iris

    rows, target = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(target))
    return rows[order].astype(np.float32), target[order]


def test_a_function_and_its_parameters_are_a_classifier_by_their_target(iris):
    rows, target = iris
    parameters = {"w": jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32), "b": jnp.zeros(3)}

    def apply(held, x):
        return x @ held["w"] + held["b"]

    candidate = build((apply, parameters), train=(rows, target), test=(rows, target))
    assert candidate.contract.classes == (0, 1, 2)
    assert [column.name for column in candidate.contract.columns] == ["x0", "x1", "x2", "x3"]
    assert candidate.metrics["accuracy"] == np.mean(np.argmax(apply(parameters, rows), 1) == target)
    assert "made into probabilities by a softmax" in candidate.warnings[0]
    assert candidate.parity.batches == (1, 2, 3, 150)
    assert set(candidate.importance) == {"x0", "x1", "x2", "x3"}


def test_images_keep_their_shape_and_are_described_by_their_answers():
    images = RNG.integers(0, 255, (32, 8, 8, 2), dtype=np.uint8)
    model = jax.jit(lambda x: jax.nn.sigmoid(convolved(x / 255.0).mean((1, 2, 3))))
    candidate = build(model, train=(images, RNG.integers(0, 2, 32)))
    assert candidate.contract.columns == ()
    assert (candidate.contract.inputs[0].datatype, candidate.contract.inputs[0].shape) == ("UINT8", (-1, 8, 8, 2))
    assert list(candidate.train_outputs) == ["label", "probability_0", "probability_1"]
    assert candidate.lineage.data["train"].keys() == {"input"}


@pytest.mark.parametrize(
    "model",
    [
        jax.jit(lambda x: x),
        functools.partial(jax.jit(lambda p, x: p * x), 2.0),
        (lambda p, x: p * x, 2.0),
        functools.partial(functools.partial(jax.jit(lambda p, q, x: x), 1.0), 2.0),
    ],
)
def test_the_ways_to_hand_over_a_function(model):
    assert family_of(model).name == "JAX"


def test_an_answer_that_rests_on_the_rows_beside_it_is_refused():
    with pytest.raises(GateRefused, match="let no answer depend on the rows beside it"):
        build(jax.jit(lambda x: x[:, 0] - x.max()), train=(RNG.normal(size=(40, 3)),))


def test_what_fails_on_the_training_rows_says_so():
    with pytest.raises(InvalidInput, match="fails on the training rows"):
        build((lambda p, x: x @ p, jnp.ones((9, 2))), train=(np.ones((5, 3)),))
    with pytest.raises(InvalidInput, match=r"has shape \[\] for 5 rows"):
        build(jax.jit(lambda x: x.sum()), train=(np.ones((5, 3)),))
    with pytest.raises(InvalidInput, match="'a' is text, and a JAX model takes numbers"):
        build(jax.jit(lambda x: x), train=(__import__("polars").DataFrame({"a": ["x", "y"]}),))
