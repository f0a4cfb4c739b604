"""What arrived becomes a job, without a request and without an app."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest

from analysis.options import AnalysisOptions, parse_options
from service.intake.multipart import Upload
from service.intake.submission import question_of, submit
from service.jobs.job import State
from service.jobs.store import Store
from service.objects.blob import Blob
from service.problems import ProblemError, refusal
from tests.service.jobs.small_jobs import NOW, claimed

MINE, OTHER = "mine", "other"


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
    assert question_of(upload()).digest != digest


# ------------------------------------------------------------------ jobs


def test_a_submission_is_a_job_of_its_tenant(store: Store) -> None:
    job = submit(upload(), store=store, tenant=MINE, key="key")
    assert store.get(job.id, MINE) == job
    assert store.get(job.id, OTHER) is None
    assert (job.state, job.tenant, job.idempotency_key) == (State.QUEUED, MINE, "key")


def test_the_same_twice_is_two_jobs(store: Store) -> None:
    assert submit(upload(), store=store, tenant=MINE).id != submit(upload(), store=store, tenant=MINE).id


def test_a_key_rejoins_its_job_in_any_state(store: Store) -> None:
    first = submit(upload(), store=store, tenant=MINE, key="key")
    store.finish(claimed(store), State.FAILED, NOW)
    assert submit(upload(), store=store, tenant=MINE, key="key").id == first.id


def test_a_key_that_was_used_for_another_question_is_refused(store: Store) -> None:
    submit(upload(), store=store, tenant=MINE, key="key")
    with pytest.raises(ProblemError) as refused:
        submit(upload(seed=1), store=store, tenant=MINE, key="key")
    told = refused.value.problem
    assert (told.code, told.status, told.where) == ("idempotency-key-reuse", 422, "Idempotency-Key")
    assert told.hint == "use a new key for a new question"


def test_tenants_may_use_the_same_key(store: Store) -> None:
    mine = submit(upload(), store=store, tenant=MINE, key="key")
    assert submit(upload(seed=1), store=store, tenant=OTHER, key="key").id != mine.id


def test_who_wants_to_rejoin_does_while_there_is_hope(store: Store) -> None:
    def rejoin(tenant: str = MINE) -> str:
        return submit(upload(), store=store, tenant=tenant, rejoin=True).id

    first = rejoin()
    assert rejoin() == first
    assert rejoin(OTHER) != first
    store.finish(claimed(store), State.FAILED, NOW)
    assert rejoin() != first


@pytest.mark.parametrize("number", range(3))
def test_at_the_same_time_with_one_key_there_is_one_job(store: Store, number: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(submit, upload(), store=store, tenant=MINE, key=f"{number}") for _ in range(8)]
    assert len({each.result().id for each in asked}) == 1


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


def test_a_question_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        question_of(upload()).digest = ""  # type: ignore[misc]
