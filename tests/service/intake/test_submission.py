"""What arrived becomes a job, without a request and without an app."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Barrier, BrokenBarrierError

import pytest
import torch

from analysis.options import AnalysisOptions, parse_options
from service.intake.multipart import Upload
from service.intake.submission import Age, Reuse, Submitted, engine, question_of, submit
from service.jobs.job import Job, State, now
from service.jobs.store import Store
from service.objects.blob import Blob
from service.problems import ProblemError, refusal
from tests.service.jobs.small_jobs import NOW, claimed
from tests.service.jobs.small_jobs import found as known

MINE, OTHER = "mine", "other"
REPORT, HOUR = "e" * 64, 3600.0


def upload(model: str = "a", batch: str | None = "b", name: str = "network.onnx", **options: object) -> Upload:
    blobs = {"model": Blob(model * 64, 1)} | ({} if batch is None else {"batch": Blob(batch * 64, 1)})
    return Upload(blobs, {"model": name}, parse_options(options) if options else AnalysisOptions())


# ------------------------------------------------------------------ questions


def test_a_question_holds_what_was_sent() -> None:
    question = question_of(upload(seed=7))
    assert (question.model_sha256, question.batch_sha256) == ("a" * 64, "b" * 64)
    assert question.model_name == "network.onnx"
    assert parse_options(question.options) == AnalysisOptions(seed=7)


def test_a_model_without_a_name_is_given_one() -> None:
    assert question_of(upload(name="")).model_name == "model.onnx"
    assert question_of(Upload({"model": Blob("a" * 64, 1)})).model_name == "model.onnx"


def test_bytes_and_options_make_another_question_and_a_name_does_not() -> None:
    digest = question_of(upload()).digest
    others = [upload(model="c"), upload(batch="c"), upload(batch=None), upload(seed=1)]
    assert len({digest, *(question_of(each).digest for each in others)}) == 5
    assert question_of(upload(name="renamed.onnx")).digest == digest
    assert question_of(upload(seed=0)).digest == digest  # the default, said aloud


def test_the_data_files_of_a_model_and_their_names_are_part_of_the_question() -> None:
    one, other = Blob("e" * 64, 1), Blob("f" * 64, 1)
    plain, questions = question_of(upload()), []
    for data_files in ({"w": one}, {"v": one}, {"w": other}, {"w": one, "v": other}, {"v": one, "w": other}):
        sent = upload()
        sent.data_files = data_files
        questions.append(question_of(sent))
    assert questions[3].data_files == {"w": "e" * 64, "v": "f" * 64}
    assert plain.data_files == {}
    assert len({each.digest for each in (plain, *questions)}) == 6


def test_another_version_may_answer_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = question_of(upload()).digest
    monkeypatch.setattr("service.intake.submission.VERSION", "0.0.0")
    engine.cache_clear()
    assert question_of(upload()).digest != digest
    engine.cache_clear()


# ------------------------------------------------------------------ jobs


def test_a_submission_is_a_job_of_its_tenant(store: Store) -> None:
    job = submit(upload(), store=store, tenant=MINE, key="key").job
    assert store.get(job.id, MINE) == job
    assert store.get(job.id, OTHER) is None
    assert (job.state, job.tenant, job.idempotency_key) == (State.QUEUED, MINE, "key")


def test_the_same_twice_is_two_jobs(store: Store) -> None:
    assert submit(upload(), store=store, tenant=MINE).job.id != submit(upload(), store=store, tenant=MINE).job.id


def test_a_key_rejoins_its_job_in_any_state(store: Store) -> None:
    first = submit(upload(), store=store, tenant=MINE, key="key").job
    store.finish(claimed(store), State.FAILED, NOW)
    assert submit(upload(), store=store, tenant=MINE, key="key").job.id == first.id


def test_a_key_that_was_used_for_another_question_is_refused(store: Store) -> None:
    submit(upload(), store=store, tenant=MINE, key="key")
    with pytest.raises(ProblemError) as refused:
        submit(upload(seed=1), store=store, tenant=MINE, key="key")
    told = refused.value.problem
    assert (told.code, told.status, told.where) == ("idempotency-key-reuse", 422, "Idempotency-Key")
    assert told.hint == "use a new key for a new question"


def test_tenants_may_use_the_same_key(store: Store) -> None:
    mine = submit(upload(), store=store, tenant=MINE, key="key").job
    assert submit(upload(seed=1), store=store, tenant=OTHER, key="key").job.id != mine.id


def test_who_wants_to_rejoin_does_while_there_is_hope(store: Store) -> None:
    def rejoin(tenant: str = MINE) -> str:
        return submit(upload(), store=store, tenant=tenant, rejoin=True).job.id

    first = rejoin()
    assert rejoin() == first
    assert rejoin(OTHER) != first
    store.finish(claimed(store), State.FAILED, NOW)
    assert rejoin() != first


@pytest.mark.parametrize("number", range(3))
def test_at_the_same_time_with_one_key_there_is_one_job(store: Store, number: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(submit, upload(), store=store, tenant=MINE, key=f"{number}") for _ in range(8)]
    assert len({each.result().job.id for each in asked}) == 1


# ------------------------------------------------------------------ earlier reports


def answered(store: Store, *, again: bool = True, tenant: str = MINE, at: datetime | None = None) -> Job:
    """A question that was answered by a report."""
    submit(upload(), store=store, tenant=tenant)
    job = claimed(store)
    assert store.finish(job, State.SUCCEEDED, at, report=REPORT, answers_again=again)
    return job


def test_an_earlier_report_answers_at_once_as_a_job_of_its_own_that_no_quota_is_asked_for(store: Store) -> None:
    earlier, asked = answered(store), list[str]()
    made = submit(
        upload(name="renamed.onnx"), store=store, tenant=MINE, key="new", labels={"commit": "c"}, age=Age(HOUR),
        quota=asked.append,
    )  # fmt: skip
    job = made.job
    assert (made.reuse, asked) == (Reuse.HIT, [])
    assert job == store.get(job.id, MINE)
    assert job.id != earlier.id
    assert (job.state, job.stage, job.fraction, job.report_sha256) == (State.SUCCEEDED, "succeeded", 1.0, REPORT)
    assert (job.idempotency_key, job.labels, job.question.model_name) == ("new", {"commit": "c"}, "renamed.onnx")
    assert job.started is not None
    assert job.finished is not None
    assert timedelta(0) <= job.finished - job.started < timedelta(seconds=1)
    assert store.claim("worker", NOW) is None


def test_nothing_but_a_whole_report_of_the_same_tenant_and_question_that_is_young_enough_answers(store: Store) -> None:
    def reuse(age: Age, sent: Upload | None = None, tenant: str = MINE) -> Reuse:
        made = submit(sent or upload(), store=store, tenant=tenant, age=age)
        if made.reuse is not Reuse.HIT:
            store.finish(claimed(store), State.FAILED)
        return made.reuse

    answered(store, again=False)
    assert reuse(Age(HOUR)) is Reuse.MISS
    answered(store, at=now() - timedelta(hours=2))
    assert reuse(Age(HOUR)) is Reuse.MISS
    assert reuse(Age(3 * HOUR)) is Reuse.HIT
    assert reuse(Age(3 * HOUR, wanted=HOUR)) is Reuse.MISS
    assert reuse(Age(3 * HOUR, wanted=0)) is Reuse.REFUSED
    assert reuse(Age()) is Reuse.OFF
    assert reuse(Age(3 * HOUR), tenant=OTHER) is Reuse.MISS
    assert reuse(Age(3 * HOUR), upload(seed=1)) is Reuse.MISS
    assert reuse(Age(3 * HOUR), upload(batch=None)) is Reuse.MISS


@pytest.mark.parametrize("end", [State.FAILED, State.EXPIRED, State.CANCELLED])
def test_another_end_than_success_answers_nobody(store: Store, end: State) -> None:
    submit(upload(), store=store, tenant=MINE)
    job = claimed(store)
    assert store.cancel(job) if end is State.CANCELLED else store.finish(job, end)
    assert submit(upload(), store=store, tenant=MINE, age=Age(HOUR)).reuse is Reuse.MISS


def test_who_rejoins_is_told_whether_the_answer_was_there(store: Store) -> None:
    def rejoin(age: Age) -> Submitted:
        return submit(upload(), store=store, tenant=MINE, rejoin=True, age=age)

    first = rejoin(Age(HOUR))
    assert (first.reuse, rejoin(Age(HOUR)).reuse) == (Reuse.MISS, Reuse.JOINED)
    store.finish(claimed(store), State.SUCCEEDED, report=REPORT, answers_again=True)
    assert rejoin(Age(HOUR)) == Submitted(known(store, first.job), Reuse.HIT)


def test_a_gate_that_wants_no_earlier_report_gets_the_one_that_it_has_just_waited_for(store: Store) -> None:
    unwanted = Age(HOUR, wanted=0)
    old = submit(upload(), store=store, tenant=MINE, rejoin=True, age=unwanted).job
    store.finish(claimed(store), State.SUCCEEDED, now() - timedelta(minutes=2), report=REPORT, answers_again=True)
    new = submit(upload(), store=store, tenant=MINE, rejoin=True, age=unwanted)
    assert (new.job.id != old.id, new.reuse) == (True, Reuse.REFUSED)
    store.finish(claimed(store), State.SUCCEEDED, report=REPORT, answers_again=True)
    again = submit(upload(), store=store, tenant=MINE, rejoin=True, age=unwanted)
    assert (again.job.id, again.reuse) == (new.job.id, Reuse.HIT)


def test_at_the_same_time_with_one_key_an_earlier_report_answers_once(store: Store) -> None:
    answered(store)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(submit, upload(), store=store, tenant=MINE, key="k", age=Age(HOUR)) for _ in range(8)]
    assert len({each.result().job.id for each in asked}) == 1


def test_other_libraries_may_answer_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch.__version__.partition("+")[0] in engine()
    digest = question_of(upload()).digest
    monkeypatch.setattr("service.intake.submission.engine", lambda: "others")
    assert question_of(upload()).digest != digest


# ------------------------------------------------------------------ quota


def test_a_quota_is_asked_for_new_jobs_only(store: Store) -> None:
    asked: list[str] = []
    for _ in range(2):
        submit(upload(), store=store, tenant=MINE, key="key", quota=asked.append)
    assert asked == [MINE]


def test_who_may_have_no_more_is_told_and_gets_no_job(store: Store) -> None:
    def exhausted(tenant: str) -> None:
        raise refusal("quota", HTTPStatus.TOO_MANY_REQUESTS, f"{tenant} has enough")

    with pytest.raises(ProblemError, match="mine has enough"):
        submit(upload(), store=store, tenant=MINE, quota=exhausted)
    assert store.claim("worker", NOW) is None


@pytest.mark.parametrize("number", range(3))
def test_at_the_same_time_no_more_wait_than_may(store: Store, number: int) -> None:
    """Each had counted before any was there."""
    met = Barrier(8, timeout=30)

    def counted(tenant: str) -> None:
        if store.queued(tenant) >= 3:
            raise refusal("quota", HTTPStatus.TOO_MANY_REQUESTS, f"{tenant} has enough")
        with suppress(BrokenBarrierError):
            met.wait() if not met.broken else None

    def ask(seed: int) -> bool:
        try:
            submit(upload(seed=seed), store=store, tenant=f"{MINE}{number}", quota=counted, most=3)
        except ProblemError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(ask, range(8)))
    assert (taken.count(True), store.queued(f"{MINE}{number}")) == (3, 3)


def test_a_question_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        question_of(upload()).digest = ""  # type: ignore[misc]
