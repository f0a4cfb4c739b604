"""The job table, on SQLite always and on PostgreSQL where one answers (mark `server`)."""

import dataclasses
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service.jobs.holding import held_bytes, held_under
from service.jobs.job import MAX_ATTEMPTS, Job, State, new_id, now
from service.jobs.store import ALIVE, LEASE, Store
from tests.service.jobs.small_jobs import NOW, SECOND, claimed, found, small_job

AFTER_LEASE = LEASE + SECOND
LOST = {"code": "worker-lost", "detail": "the worker vanished"}


# ------------------------------------------------------------------ clients


def test_what_was_never_submitted_is_not_there(store: Store) -> None:
    for strange in (new_id(), "", "\0", "é" * 1000):
        assert store.get(strange) is None
    assert store.by_key("key") is None
    assert store.rejoinable("d" * 64) is None


def test_a_tenant_sees_its_own_jobs_only(store: Store) -> None:
    given = small_job(tenant="first", idempotency_key="key")
    store.submit(given)
    assert store.get(given.id, "first") == store.by_key("key", "first") == store.rejoinable("d" * 64, "first") == given
    for other in ("second", "default", ""):
        assert store.get(given.id, other) is None
        assert store.by_key("key", other) is None
        assert store.rejoinable("d" * 64, other) is None


def test_an_idempotency_key_names_one_job_of_a_tenant(store: Store) -> None:
    first = small_job(tenant="first", idempotency_key="key")
    store.submit(first)
    with pytest.raises(IntegrityError):
        store.submit(small_job(1, tenant="first", idempotency_key="key"))
    store.submit(small_job(2, tenant="second", idempotency_key="key"))
    assert store.by_key("key", "first") == first


def test_a_key_finds_its_own_job_among_others_and_strange_ones_find_none(store: Store) -> None:
    first, second = (small_job(number, idempotency_key=f"key {number}") for number in range(2))
    for each in (first, second, small_job(2)):
        store.submit(each)
    assert (store.by_key("key 0"), store.by_key("key 1"), store.by_key("key 2")) == (first, second, None)


def test_jobs_without_a_key_do_not_clash(store: Store) -> None:
    store.submit(small_job())
    store.submit(small_job(1))
    assert claimed(store).id != claimed(store).id


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_newest_job_for_the_same_question_is_rejoined(store: Store, order: tuple[int, ...]) -> None:
    jobs = [small_job(0), small_job(1), small_job(2, digest="e" * 64)]
    for number in order:
        store.submit(jobs[number])
    assert store.rejoinable("d" * 64) == jobs[1]


def test_an_earlier_report_is_held_by_the_job_that_it_answers_whatever_becomes_of_the_first(store: Store) -> None:
    sizes = {"a" * 64: 1, "b" * 64: 2, "e" * 64: 30, "f" * 64: 400}
    earlier, again, third = small_job(), small_job(1), small_job(2)
    store.submit(earlier, sizes.get)
    running = claimed(store)
    store.hold(running, ["e" * 64, "f" * 64], sizes.get)
    assert store.finish(running, State.SUCCEEDED, report="e" * 64, answers_again=True)
    answer = store.answer(again, timedelta(hours=1), sizes.get)
    assert answer == found(store, again)
    assert store.delete(earlier)
    assert {name for prefix in "abef" for name in held_under(store.engine, prefix * 2)} == set(sizes)
    assert store.answer(third, timedelta(hours=1), sizes.get) is not None  # by the one that was answered
    assert store.delete(again)
    assert store.delete(third)
    assert held_bytes(store.engine) == 0
    assert store.answer(small_job(3), timedelta(hours=1), sizes.get) is None


def test_a_report_grows_no_younger_by_answering(store: Store) -> None:
    store.submit(small_job())
    assert store.finish(
        claimed(store), State.SUCCEEDED, now() - timedelta(hours=1), report="e" * 64, answers_again=True
    )
    for hours, answers in ((2, True), (2, True), (0.9, False)):
        assert (store.answer(small_job(1), timedelta(hours=hours)) is not None) is answers


def test_a_report_that_is_not_among_the_objects_answers_nobody(store: Store) -> None:
    store.submit(small_job())
    assert store.finish(claimed(store), State.SUCCEEDED, report="e" * 64, answers_again=True)
    assert store.answer(small_job(1), timedelta(hours=1), {}.get) is None


@pytest.mark.parametrize("end", [State.FAILED, State.EXPIRED, State.CANCELLED])
def test_a_job_that_failed_is_not_rejoined(store: Store, end: State) -> None:
    older, newer = small_job(0), small_job(1)
    store.submit(newer)
    assert store.finish(claimed(store), end, NOW)
    assert store.rejoinable("d" * 64) is None
    store.submit(older)
    assert store.rejoinable("d" * 64) == older


def test_a_job_is_rejoined_while_it_waits_runs_and_has_succeeded(store: Store) -> None:
    store.submit(small_job())
    states = [store.rejoinable("d" * 64)]
    running = claimed(store)
    states.append(store.rejoinable("d" * 64))
    store.finish(running, State.SUCCEEDED, NOW, report="f" * 64)
    states.append(store.rejoinable("d" * 64))
    assert [each and each.state for each in states] == [State.QUEUED, State.RUNNING, State.SUCCEEDED]


# ------------------------------------------------------------------ workers


def test_claiming_raises_fence_and_attempt_and_sets_a_lease(store: Store) -> None:
    given = small_job()
    store.submit(given)
    claim = claimed(store, owner="me")
    assert claim == found(store, given)
    assert (claim.state, claim.owner, claim.attempt, claim.fence) == (State.RUNNING, "me", 1, 1)
    assert (claim.lease_until, claim.started) == (NOW + LEASE, NOW)
    assert claim.stage == "starting"
    assert claim.question == given.question


def test_a_job_of_any_tenant_is_claimed(store: Store) -> None:
    given = small_job(tenant="first")
    store.submit(given)
    assert (claimed(store).id, found(store, given).tenant) == (given.id, "first")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_jobs_of_one_moment_the_one_with_the_smaller_id_is_claimed_first(
    store: Store, order: tuple[int, int]
) -> None:
    jobs = sorted((small_job(), small_job()), key=lambda job: job.id)
    for number in order:
        store.submit(jobs[number])
    assert [claimed(store).id for _ in jobs] == [each.id for each in jobs]


def test_the_oldest_job_is_claimed_first_and_each_once(store: Store) -> None:
    jobs = [small_job(number) for number in range(5)]
    for each in (jobs[3], jobs[0], jobs[4], jobs[1], jobs[2]):
        store.submit(each)
    assert [claimed(store).id for _ in jobs] == [each.id for each in jobs]
    assert store.claim("worker", NOW) is None


def test_two_claimers_never_get_the_same_job(stores: list[Store]) -> None:
    together = threading.Barrier(len(stores))

    def claim_all(store: Store) -> list[Job]:
        together.wait(10)
        first = store.claim("worker", NOW)
        together.wait(10)  # nobody takes them all before the others begin
        return [*filter(None, [first]), *claim_the_rest(store)]

    submitted = [small_job(number) for number in range(120)]
    for each in submitted:
        stores[0].submit(each)
    with ThreadPoolExecutor(len(stores)) as pool:
        shares = list(pool.map(claim_all, stores))
    claims = [claim for share in [*shares, claim_the_rest(stores[0])] for claim in share]
    assert sorted(claim.id for claim in claims) == sorted(each.id for each in submitted)
    assert {(claim.attempt, claim.fence) for claim in claims} == {(1, 1)}
    assert sum(bool(share) for share in shares) > 1


def claim_the_rest(store: Store) -> list[Job]:
    """Until there is none; a claimer that meets only locked rows may stop early."""
    rest = []
    while (claim := store.claim("worker", NOW)) is not None:
        rest.append(claim)
    return rest


def test_keeping_renews_the_lease_and_notes_progress(store: Store) -> None:
    store.submit(small_job())
    claim = claimed(store)
    assert store.keep(claim, NOW + 20 * SECOND, "probe", 0.35)
    kept = found(store, claim)
    assert (kept.stage, kept.fraction, kept.lease_until) == ("probe", 0.35, NOW + 20 * SECOND + LEASE)
    assert store.reap(NOW + AFTER_LEASE, LOST) == 0


def test_a_finished_job_has_its_report_and_is_claimed_no_more(store: Store) -> None:
    store.submit(small_job())
    claim = claimed(store)
    assert store.finish(claim, State.SUCCEEDED, NOW + SECOND, report="f" * 64)
    ended = found(store, claim)
    assert (ended.state, ended.report_sha256, ended.finished) == (State.SUCCEEDED, "f" * 64, NOW + SECOND)
    assert (ended.fraction, ended.lease_until, ended.error) == (1.0, None, None)
    assert store.claim("worker", NOW) is None


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled", "expired"])
def test_the_stage_of_a_job_that_ended_is_its_end(store: Store, end: str) -> None:
    store.submit(small_job())
    claim = claimed(store)
    store.finish(claim, State(end), NOW)
    assert found(store, claim).stage == end


def test_a_job_without_a_problem_has_no_value_in_its_column(store: Store) -> None:
    store.submit(small_job())
    store.finish(claimed(store), State.SUCCEEDED, NOW)
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM jobs WHERE error IS NULL")).scalar_one() == 1


def test_a_failed_job_keeps_its_problem(store: Store) -> None:
    store.submit(small_job())
    problem = {"code": "unsupported-operator", "detail": "«Det» has no conversion", "status": 422, "instance": None}
    store.finish(claimed(store), State.FAILED, NOW, error=problem)
    row = store.rejoinable("d" * 64)
    assert row is None
    with store.engine.connect() as connection:
        job_id = connection.execute(text("SELECT id FROM jobs")).scalar_one()
    failed = store.get(job_id)
    assert failed is not None
    assert (failed.state, failed.error, failed.report_sha256) == (State.FAILED, problem, None)


def test_a_job_ends_once(store: Store) -> None:
    store.submit(small_job())
    claim = claimed(store)
    assert store.finish(claim, State.SUCCEEDED, NOW, report="1" * 64)
    ended = found(store, claim)
    assert not store.finish(claim, State.FAILED, NOW + SECOND, error=LOST)
    assert not store.keep(claim, NOW + SECOND, "late", 0.5)
    assert not store.release(claim)
    assert store.reap(NOW + AFTER_LEASE, LOST) == 0
    assert found(store, claim) == ended


def test_a_worker_whose_lease_was_over_cannot_report_into_the_next_attempt(store: Store) -> None:
    store.submit(small_job())
    late = claimed(store)
    assert store.reap(NOW + AFTER_LEASE, LOST) == 1
    for moment in ("requeued", "claimed again"):
        before = found(store, late)
        assert not store.keep(late, NOW + AFTER_LEASE, "late", 0.9), moment
        assert not store.finish(late, State.SUCCEEDED, NOW + AFTER_LEASE, report="0" * 64), moment
        assert not store.release(late), moment
        assert found(store, late) == before
        if moment == "requeued":
            again = claimed(store, NOW + AFTER_LEASE, owner="other")
    assert (again.attempt, again.fence) == (2, 2)
    assert store.finish(again, State.SUCCEEDED, NOW + AFTER_LEASE, report="1" * 64)


def test_the_first_start_is_kept_over_attempts(store: Store) -> None:
    store.submit(small_job())
    claimed(store)
    store.reap(NOW + AFTER_LEASE, LOST)
    assert claimed(store, NOW + AFTER_LEASE).started == NOW


def test_reaping_leaves_a_live_lease_alone(store: Store) -> None:
    store.submit(small_job())
    claim = claimed(store)
    for last in (NOW + LEASE - SECOND, NOW + LEASE):
        assert store.reap(last, LOST) == 0
        assert found(store, claim) == claim


def test_reaping_requeues_what_a_lost_worker_held_and_nothing_else(store: Store) -> None:
    for number in range(4):
        store.submit(small_job(number))
    lost, done, alive = claimed(store), claimed(store), claimed(store, NOW + LEASE)
    store.keep(lost, NOW, "probe", 0.5)
    store.finish(done, State.SUCCEEDED, NOW)
    assert store.reap(NOW + AFTER_LEASE, LOST) == 1
    again = found(store, lost)
    assert (again.state, again.owner, again.lease_until) == (State.QUEUED, None, None)
    assert (again.stage, again.fraction, again.error, again.attempt) == ("queued", 0.0, None, 1)
    assert found(store, alive) == alive
    assert found(store, done).state is State.SUCCEEDED
    assert store.reap(NOW + AFTER_LEASE, LOST) == 0


def test_a_job_lost_at_every_attempt_fails_with_the_given_problem(store: Store) -> None:
    store.submit(small_job())
    at = NOW
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = claimed(store, at)
        assert claim.attempt == attempt
        at += AFTER_LEASE
        assert store.reap(at, LOST) == 1
    failed = found(store, claim)
    assert (failed.state, failed.error, failed.finished) == (State.FAILED, LOST, at)
    assert store.claim("worker", at) is None


def test_a_restarted_worker_takes_back_its_own_jobs_at_once(store: Store) -> None:
    store.submit(small_job())
    store.submit(small_job(1))
    mine, other = claimed(store, owner="me"), claimed(store, owner="other")
    assert store.reap(NOW, LOST, owner="me") == 1
    assert found(store, mine).state is State.QUEUED
    assert found(store, other) == other


def test_two_reapers_count_a_loss_once(stores: list[Store]) -> None:
    for number in range(20):
        stores[0].submit(small_job(number))
        claimed(stores[0])
    with ThreadPoolExecutor(len(stores)) as pool:
        counts = list(pool.map(lambda store: store.reap(NOW + AFTER_LEASE, LOST), stores))
    assert sum(counts) == 20


def test_a_retried_job_waits_with_what_it_died_of_until_it_ends_otherwise(store: Store) -> None:
    given, cause = small_job(), {"detail": "the first attempt died"}
    store.submit(given)
    claim = claimed(store)
    assert store.retry(claim, cause)
    waiting = found(store, given)
    assert (waiting.state, waiting.attempt, waiting.owner, waiting.error) == (State.QUEUED, 1, None, cause)
    assert not store.retry(claim, cause)
    again = claimed(store)
    assert (again.attempt, again.fence, again.error) == (2, 2, cause)
    assert store.finish(again, State.SUCCEEDED, NOW)
    assert found(store, given).error is None


def test_a_released_job_is_as_if_never_claimed_but_for_the_fence(store: Store) -> None:
    given = small_job()
    store.submit(given)
    claim = claimed(store)
    store.keep(claim, NOW, "probe", 0.5)
    assert store.release(claim)
    released = found(store, given)
    assert (released.state, released.attempt, released.fence) == (State.QUEUED, 0, 1)
    assert (released.owner, released.lease_until) == (None, None)
    assert (released.stage, released.fraction) == ("queued", 0.0)
    assert not store.finish(claim, State.SUCCEEDED, NOW)
    again = claimed(store)
    assert (again.attempt, again.fence) == (1, 2)


def test_a_worker_is_known_while_it_is_seen(store: Store) -> None:
    store.seen("warm", NOW, ready=False)
    store.seen("cold", NOW, ready=False)
    store.seen("warm", NOW + SECOND, ready=True)
    assert store.workers(NOW + ALIVE - SECOND) == {"warm": True, "cold": False}
    assert store.workers(NOW + ALIVE) == {"warm": True}
    assert store.workers(NOW + ALIVE + SECOND) == {}


def test_a_database_that_answers_can_be_pinged(store: Store) -> None:
    store.ping()


def test_stores_that_open_a_new_database_together_all_succeed(url: str) -> None:
    together = threading.Barrier(8)

    def submit(number: int) -> Job:
        together.wait(10)
        with closing(Store(url)) as store:
            store.submit(given := small_job(number))
        return given

    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(submit, range(8)))
    with closing(Store(url)) as store:
        assert [store.get(each.id) for each in jobs] == jobs


def test_writers_wait_for_each_other(store: Store) -> None:
    jobs = [small_job(number) for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.submit, jobs))
    assert len(claim_the_rest(store)) == 64


# ------------------------------------------------------------------ any order of events


@dataclasses.dataclass
class Row:
    """What the table must say of a job."""

    state: State = State.QUEUED
    attempt: int = 0
    fence: int = 0
    lease_until: datetime | None = None
    owner: str | None = None
    ends: int = 0


class Lives(RuleBasedStateMachine):
    """Claims, heartbeats, ends, losses and releases in any order, against a model of a few lines."""

    claims = Bundle("claims")

    @initialize()
    def start(self) -> None:
        self.store = Store("sqlite://")
        self.now = NOW
        self.rows: dict[str, Row] = {}

    def teardown(self) -> None:
        self.store.close()

    def valid(self, claim: Job) -> bool:
        row = self.rows[claim.id]
        return row.state is State.RUNNING and row.fence == claim.fence

    def lose(self, row: Row) -> None:
        row.state = State.QUEUED if row.attempt < 3 else State.FAILED
        row.ends += row.state is State.FAILED
        row.lease_until, row.owner = None, None if row.state is State.QUEUED else row.owner

    @rule()
    def submit(self) -> None:
        given = small_job(len(self.rows))
        self.store.submit(given)
        self.rows[given.id] = Row()

    @rule(seconds=st.sampled_from([1, 10, 29, 31]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(target=claims, owner=st.sampled_from(["a", "b"]))
    def claim(self, owner: str) -> Job | None:
        queued = [job_id for job_id, row in self.rows.items() if row.state is State.QUEUED]
        claim = self.store.claim(owner, self.now)
        assert (claim and claim.id) == (queued[0] if queued else None)
        if claim is None:
            return None
        row = self.rows[claim.id]
        row.state, row.owner, row.lease_until = State.RUNNING, owner, self.now + LEASE
        row.attempt, row.fence = row.attempt + 1, row.fence + 1
        return claim

    @rule(claim=claims)
    def keep(self, claim: Job | None) -> None:
        if claim is not None:
            assert self.store.keep(claim, self.now, "probe", 0.5) is self.valid(claim)
            if self.valid(claim):
                self.rows[claim.id].lease_until = self.now + LEASE

    @rule(claim=claims, end=st.sampled_from([state for state in State if state.is_end]))
    def finish(self, claim: Job | None, end: State) -> None:
        if claim is not None:
            valid = self.valid(claim)
            assert self.store.finish(claim, end, self.now) is valid
            if valid:
                row = self.rows[claim.id]
                row.state, row.lease_until, row.ends = end, None, row.ends + 1

    @rule(claim=consumes(claims))
    def release(self, claim: Job | None) -> None:
        if claim is not None:
            valid = self.valid(claim)
            assert self.store.release(claim) is valid
            if valid:
                row = self.rows[claim.id]
                row.state, row.attempt, row.lease_until, row.owner = State.QUEUED, row.attempt - 1, None, None

    @rule(owner=st.sampled_from([None, "a", "b"]))
    def reap(self, owner: str | None) -> None:
        def gone(row: Row) -> bool:
            over = row.lease_until is not None and row.lease_until < self.now
            return row.state is State.RUNNING and (over if owner is None else row.owner == owner)

        lost = [row for row in self.rows.values() if gone(row)]
        assert self.store.reap(self.now, LOST, owner) == len(lost)
        for row in lost:
            self.lose(row)

    @invariant()
    def table_and_model_agree(self) -> None:
        for job_id, row in self.rows.items():
            stored = self.store.get(job_id)
            assert stored is not None
            seen = Row(stored.state, stored.attempt, stored.fence, stored.lease_until, stored.owner, row.ends)
            assert seen == row

    @invariant()
    def every_job_ends_once_and_is_tried_three_times_at_most(self) -> None:
        for row in self.rows.values():
            assert row.ends == int(row.state.is_end)
            assert 0 <= row.attempt <= MAX_ATTEMPTS
            assert row.attempt <= row.fence


Lives.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
test_a_job_keeps_its_promises_in_any_order_of_events = Lives.TestCase


# ------------------------------------------------------------------ cancelled, counted


def test_a_job_is_cancelled_once_and_its_worker_holds_it_no_longer(store: Store) -> None:
    store.submit(small_job())
    job = store.claim("worker", now())
    assert job is not None
    assert store.holds(job)
    assert store.cancel(job, now())
    ended = store.get(job.id)
    assert ended is not None
    assert (ended.state, ended.stage, ended.finished is None) == (State.CANCELLED, "cancelled", False)
    assert not store.holds(job)
    assert not store.finish(job, State.SUCCEEDED, now(), report="a" * 64)
    assert not store.cancel(job, now())


def test_an_end_cannot_be_cancelled(store: Store) -> None:
    store.submit(small_job())
    job = store.claim("worker", now())
    assert job is not None
    store.finish(job, State.SUCCEEDED, now(), report="a" * 64)
    assert not store.cancel(job, now())
    assert store.get(job.id).state is State.SUCCEEDED


def test_only_jobs_that_wait_are_counted_as_queued(store: Store) -> None:
    assert store.queued() == 0
    for _ in range(3):
        store.submit(small_job())
    store.claim("worker", now())
    assert store.queued() == 2


def test_jobs_that_wait_are_counted_by_tenant(store: Store) -> None:
    for tenant in ("alice", "alice", "bob"):
        store.submit(small_job(tenant=tenant))
    assert (store.queued("alice"), store.queued("bob"), store.queued("carol"), store.queued()) == (2, 1, 0, 3)


def test_a_tenant_with_enough_running_jobs_lets_the_others_pass(store: Store) -> None:
    alice = [small_job(number, tenant="alice") for number in range(3)]
    bob = small_job(3, tenant="bob")
    for each in (*alice, bob):
        store.submit(each)

    def claim() -> Job | None:
        return store.claim("worker", NOW, 2)

    first, second, third = claim(), claim(), claim()
    assert [each and each.id for each in (first, second, third)] == [alice[0].id, alice[1].id, bob.id]
    assert claim() is None
    assert first is not None
    store.finish(first, State.SUCCEEDED, NOW, report="a" * 64)
    fourth = claim()
    assert fourth is not None
    assert fourth.id == alice[2].id


# ------------------------------------------------------------------ whose time it is


def test_leases_are_those_of_the_database_whatever_the_clock_of_a_node_says(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite, which has no other, the clock of its machine."""
    store.submit(small_job())
    if store.engine.dialect.name == "postgresql":
        monkeypatch.setattr("service.jobs.store.now", lambda: NOW + 365 * 24 * 3600 * SECOND)
    claim = store.claim("worker")
    assert claim is not None
    assert claim.started is not None
    assert abs(claim.started - now()) < 60 * SECOND
    assert claim.lease_until == pytest.approx(claim.started + LEASE, abs=SECOND)
    store.seen("worker", ready=True)
    assert store.workers() == {"worker": True}
    assert store.reap(None, LOST) == 0
    assert store.keep(claim, None, "probe", 0.5)
    assert store.finish(claim, State.SUCCEEDED)
    finished = found(store, claim).finished
    assert finished is not None
    assert abs(finished - now()) < 60 * SECOND
