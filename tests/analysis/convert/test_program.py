import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper, parser

from analysis.clock import OutOfTime
from analysis.convert import DifferentiableModel, convert
from analysis.convert.program import NOTHING, Action, BodyProgram, Call, Program, Slots, Step, host_integers, last_reads
from analysis.convert.registry import RunMode
from analysis.errors import BadBatch, LimitExceeded, NodeFailed
from analysis.model import check_model


def step(action: Action, *, writes: tuple[int, ...] = (), dead: tuple[int, ...] = (), node: str = "n", op: str = "Op"):
    return Step(action, node, op, writes, dead)


def put(slot: int, value: Any) -> Action:
    def action(slots: Slots) -> None:
        slots[slot] = value

    return action


def copy(source: int, target: int) -> Action:
    def action(slots: Slots) -> None:
        slots[target] = slots[source]

    return action


def fail(error: BaseException) -> Action:
    def action(slots: Slots) -> None:
        raise error

    return action


RUNS: dict[str, Callable[[Program, Slots], None]] = {
    "run": lambda program, slots: program.run(slots),
    "run_watched": lambda program, slots: program.run_watched(slots, {}),
}
both = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)

# ------------------------------------------------------------------ running


@both
def test_steps_run_in_order_and_drop_what_nobody_reads_again(run: Callable[[Program, Slots], None]) -> None:
    seen: list[Slots] = []
    program = Program.of([
        step(put(1, "a"), writes=(1,)),
        step(copy(1, 2), writes=(2,), dead=(1,)),
        step(lambda slots: seen.append(slots.copy())),
        step(copy(2, 3), writes=(3,), dead=(2,)),
    ])  # fmt: skip
    slots: Slots = [None] * 4
    run(program, slots)
    assert seen == [[None, None, "a", None]]
    assert slots == [None, None, None, "a"]


@both
def test_an_empty_program_does_nothing(run: Callable[[Program, Slots], None]) -> None:
    slots: Slots = [None, "x"]
    run(Program.of([]), slots)
    assert slots == [None, "x"]


@both
@pytest.mark.parametrize("error", [RuntimeError("sizes\n do not   match"), IndexError("sizes do not match")])
def test_a_failing_step_names_its_node(run: Callable[[Program, Slots], None], error: Exception) -> None:
    program = Program.of([step(put(1, "a")), step(fail(error), node="/fc/MatMul", op="MatMul"), step(put(1, "b"))])
    slots: Slots = [None, None]
    with pytest.raises(NodeFailed) as caught:
        run(program, slots)
    assert caught.value.where == "/fc/MatMul (MatMul)"
    assert caught.value.detail == f"{type(error).__name__}: sizes do not match"
    assert caught.value.hint
    assert caught.value.__cause__ is error
    assert slots == [None, "a"]


@both
def test_a_long_complaint_is_cut(run: Callable[[Program, Slots], None]) -> None:
    with pytest.raises(NodeFailed) as caught:
        run(Program.of([step(fail(ValueError("x" * 5000)))]), [None])
    assert caught.value.detail == f"ValueError: {'x' * 300}"


@both
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ],
    ids=["python", "cpu", "cuda"],
)
def test_memory_that_ends_is_a_limit(run: Callable[[Program, Slots], None], error: Exception) -> None:
    with pytest.raises(LimitExceeded) as caught:
        run(Program.of([step(fail(error), node="big", op="Conv")]), [None])
    assert caught.value.where == "big (Conv)"
    assert "smaller batch" in caught.value.hint


@both
def test_a_refusal_from_inside_passes_as_it_is(run: Callable[[Program, Slots], None]) -> None:
    refusal = BadBatch("no")
    with pytest.raises(BadBatch) as caught:
        run(Program.of([step(fail(refusal))]), [None])
    assert caught.value is refusal


@both
def test_an_interruption_is_no_failure_of_the_node(run: Callable[[Program, Slots], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Program.of([step(fail(KeyboardInterrupt()))]), [None])


@both
def test_who_may_interrupt_is_asked_after_every_step_and_is_no_failure_of_one(
    run: Callable[[Program, Slots], None],
) -> None:
    mode, asked = RunMode(), list[Slots]()
    slots: Slots = [None] * 4

    def interrupt() -> bool:
        asked.append(slots.copy())
        if len(asked) == 2:
            raise OutOfTime
        return False

    mode.interrupt = interrupt
    with pytest.raises(OutOfTime):
        run(Program.of([step(put(1, "a")), step(put(2, "b")), step(put(3, "c"))], mode), slots)
    assert asked == [[None, "a", None, None], [None, "a", "b", None]]


# ------------------------------------------------------------------ watching


def test_watchers_see_a_value_as_soon_as_it_is_written_and_before_it_is_dropped() -> None:
    seen: list[tuple[str, Any]] = []
    program = Program.of([
        step(put(1, "a"), writes=(1,)),
        step(lambda slots: seen.append(("running", slots[1]))),
        step(put(2, "b"), writes=(2,), dead=(1, 2)),
    ])  # fmt: skip
    watchers = {
        1: [lambda value: seen.append(("first", value)), lambda value: seen.append(("second", value))],
        2: [lambda value: seen.append(("late", value))],
    }
    slots: Slots = [None, None, None]
    program.run_watched(slots, watchers)
    assert seen == [("first", "a"), ("second", "a"), ("running", "a"), ("late", "b")]
    assert slots == [None, None, None]


def test_every_output_of_a_step_may_be_watched() -> None:
    seen: list[Any] = []

    def split(slots: Slots) -> None:
        slots[1], slots[2] = "a", "b"

    program = Program.of([step(split, writes=(1, 2))])
    program.run_watched([None] * 3, {2: [seen.append]})
    assert seen == ["b"]


def test_a_refusal_of_a_watcher_passes_as_it_is() -> None:
    def watch(value: Any) -> None:
        raise LimitExceeded("enough")

    with pytest.raises(LimitExceeded, match="enough"):
        Program.of([step(put(1, "a"), writes=(1,))]).run_watched([None, None], {1: [watch]})


# ------------------------------------------------------------------ when a slot is read last


@pytest.mark.parametrize(
    ("touched", "kept", "dead"),
    [
        ([], set(), []),
        ([(1,)], set(), [(1,)]),
        ([(1,), (1, 2), (2, 3)], {3}, [(), (1,), (2,)]),
        ([(1,), (1, 2), (1, 3)], {3}, [(), (2,), (1,)]),
        ([(1,), (1, 2)], {1, 2}, [(), ()]),
        ([(1, 1, 2), (2, 2)], set(), [(1,), (2,)]),
        ([(8, 1), (8, 1, 9)], set(), [(), (1,)]),
    ],
)
def test_a_slot_dies_at_its_last_reading(
    touched: list[tuple[int, ...]], kept: set[int], dead: list[tuple[int, ...]]
) -> None:
    assert last_reads(touched, frozenset(range(1, 5)), frozenset(kept)) == dead


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 7), max_size=4), max_size=12),
    st.sets(st.integers(0, 7)),
    st.sets(st.integers(0, 7)),
)
def test_every_temporary_slot_dies_once_and_is_not_touched_again(
    touched: list[list[int]], temporary: set[int], kept: set[int]
) -> None:
    dead = last_reads(touched, frozenset(temporary), frozenset(kept))
    assert len(dead) == len(touched)
    everything = [slot for slots in dead for slot in slots]
    assert sorted(everything) == sorted({slot for slots in touched for slot in slots} & temporary - kept)
    for place, slots in enumerate(dead):
        assert set(slots) <= set(touched[place])
        assert not any(set(slots) & set(later) for later in touched[place + 1 :])


# ------------------------------------------------------------------ calls


def ran(call: Call, slots: Slots) -> Slots:
    call.action()(slots)
    return slots


@pytest.mark.parametrize("count", range(6))
def test_a_call_reads_any_number_of_slots_in_order(count: int) -> None:
    reads = tuple(range(count, 0, -1))
    call = Call(lambda *values: list(values), reads, (count + 1,), many=False)
    slots = ran(call, [None, *range(10, 10 + count), None])
    assert slots[count + 1] == [slots[read] for read in reads]


def test_an_omitted_input_is_nothing() -> None:
    call = Call(lambda *values: values, (1, NOTHING, 2), (3,), many=False)
    assert ran(call, [None, "a", "b", None])[3] == ("a", None, "b")


@pytest.mark.parametrize(
    ("writes", "results", "slots"),
    [
        ((1, 2), ("a", "b"), [None, "a", "b"]),
        ((2, 1), ("a", "b"), [None, "b", "a"]),
        ((NOTHING, 2), ("a", "b"), [None, None, "b"]),
        ((1, 2), ("a", "b", "c"), [None, "a", "b"]),
        ((1,), ("a", "b"), [None, "a", None]),
    ],
)
def test_a_call_spreads_its_results(writes: tuple[int, ...], results: tuple[str, ...], slots: Slots) -> None:
    assert ran(Call(lambda: results, (), writes, many=True), [None, None, None]) == slots


def test_a_tuple_is_one_value_unless_the_function_returns_many() -> None:
    assert ran(Call(lambda: ("a", "b"), (), (1,), many=False), [None, None])[1] == ("a", "b")


def test_hosted_places_are_handed_over_as_integers() -> None:
    call = Call(lambda *values: values, (1, 2, NOTHING), (3,), many=False, hosted=frozenset({1, 2}))
    tensor = torch.tensor([[2, 3]])
    value, shape, omitted = ran(call, [None, tensor, tensor, None])[3]
    assert value is tensor
    assert (shape, omitted) == ((2, 3), None)
    assert [type(size) for size in shape] == [int, int]


@pytest.mark.parametrize(
    ("value", "integers"),
    [
        (None, None),
        ((1, 2), (1, 2)),
        (torch.tensor(3), (3,)),
        (torch.tensor([1, -1]), (1, -1)),
        (torch.tensor([[1, 2], [3, 4]]), (1, 2, 3, 4)),
        (torch.tensor([2.0, 3.0]), (2, 3)),
        (torch.tensor([], dtype=torch.int64), ()),
    ],
    ids=str,
)
def test_shapes_are_read_as_integers(value: Any, integers: tuple[int, ...] | None) -> None:
    assert host_integers(value) == integers


# ------------------------------------------------------------------ bodies


def doubling() -> BodyProgram:
    """Input + captured * constant, over its own slots: 1 input, 2 captured, 3 constant, 4 output."""
    add = Call(lambda value, captured, constant: value + captured * constant, (1, 2, 3), (4,), many=False)
    program = Program.of([step(add.action(), writes=(4,))])
    return BodyProgram(program, (None, None, None, 2, None), ((7, 2),), (1,), (4, 1))


def test_a_body_computes_over_what_it_captures_at_the_moment() -> None:
    body, outside = doubling(), [None] * 7 + [10]
    call = body.bind(outside)
    assert call(1) == (21, 1)
    outside[7] = 100
    assert call(1) == (21, 1)
    assert body.bind(outside)(1) == (201, 1)


def test_calls_of_a_body_share_nothing() -> None:
    call = doubling().bind([None] * 7 + [10])
    assert [call(n) for n in (1, 2, 1)] == [(21, 1), (22, 2), (21, 1)]


def test_a_body_takes_as_many_values_as_it_has_inputs() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        doubling().bind([None] * 8)(1, 2)


def test_a_call_with_bodies_gives_them_to_its_function_by_name() -> None:
    def repeat(times: int, *, body: Callable[..., tuple[int, ...]]) -> tuple[int, ...]:
        value = 0
        for _ in range(times):
            value, _ = body(value)
        return value, times

    call = Call(repeat, (1,), (2, NOTHING), many=True, bodies={"body": doubling()})
    slots: Slots = [None, 3, None, None, None, None, None, 5]
    assert ran(call, slots)[2] == 30
    slots[7] = 1
    assert ran(call, slots)[2] == 6
    assert slots[NOTHING] is None


# ------------------------------------------------------------------ a whole graph


def model(nodes: str, **weights: np.ndarray) -> DifferentiableModel:
    text = f'<ir_version: 10, opset_import: ["": 20]> net (float[N,4] x) => (float[] y) {{ {nodes} }}'
    proto = parser.parse_model(text)
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return convert(check_model(proto.SerializeToString()))


def alive_at_each(module: DifferentiableModel, names: str) -> list[set[str]]:
    """Which of the values exist right after each of them is written."""
    references: dict[str, weakref.ref[torch.Tensor]] = {}
    alive: list[set[str]] = []

    def watcher(name: str) -> Callable[[torch.Tensor], None]:
        def watch(value: torch.Tensor) -> None:
            references[name] = weakref.ref(value)
            alive.append({known for known, reference in references.items() if reference() is not None})

        return watch

    with torch.no_grad():
        module.observe([torch.ones(2, 4)], {name: [watcher(name)] for name in names.split()})
    return alive


def test_values_are_released_as_soon_as_nobody_needs_them() -> None:
    module = model("a = Exp(x) b = Neg(a) c = Sin(b) d = Add(c, a) e = Exp(d) y = Neg(e)")
    assert alive_at_each(module, "a b c d e y") == [
        {"a"}, {"a", "b"}, {"a", "b", "c"}, {"a", "c", "d"}, {"d", "e"}, {"e", "y"},
    ]  # fmt: skip


def test_a_value_that_a_body_captures_lives_until_the_body_has_run() -> None:
    module = model(
        """a = Exp(x) b = Neg(a) s = ReduceSum<keepdims: int = 0>(b) z = Greater(s, s)
        c = If (z) < then_branch = t () => (float[N,4] u) { u = Exp(a) },
                     else_branch = e () => (float[N,4] v) { v = Sin(a) } >
        d = Neg(c) y = Neg(d)"""
    )
    assert alive_at_each(module, "a b s c d y")[2:] == [{"a", "b", "s"}, {"a", "c"}, {"c", "d"}, {"d", "y"}]


def test_outputs_outlive_the_run() -> None:
    module = model("a = Exp(x) y = Neg(a)")
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    first, second = module(x), module(x)
    torch.testing.assert_close(first[0], -x.exp())
    assert first[0].data_ptr() != second[0].data_ptr()


def test_a_batch_that_does_not_fit_names_the_node_and_the_way_out() -> None:
    module = model("h = MatMul(x, w) y = Reshape(h, shape)", w=np.ones((4, 4), np.float32), shape=np.array([2, 4]))
    assert module(torch.ones(2, 4))[0].shape == (2, 4)
    with pytest.raises(NodeFailed, match="batch") as caught:
        module(torch.ones(3, 4))
    assert caught.value.where == "y (Reshape)"
    with pytest.raises(NodeFailed) as caught:
        module(torch.ones(3, 5))
    assert caught.value.where == "h (MatMul)"
