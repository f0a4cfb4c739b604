"""The form as a browser without scripts sends it: the same job as that of the API."""

import json
from dataclasses import replace
from http import HTTPStatus

import httpx

from service.jobs.job import Job
from service.pages.fields import option_fields
from tests.service.application import BATCH, FILES, MODEL, WITHOUT_WAITING, Service, job_of

UNTOUCHED = {f"options.{each.name}": "" for each in option_fields()} | dict.fromkeys(
    ("project", "commit", "model_version"), ""
)
NOTHING = ("", b"")
"""A file that nobody chose: browsers send its part all the same, with an empty name."""


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"


def sent(service: Service, files: dict[str, tuple[str, bytes]] | None = None, **said: str) -> httpx.Response:
    chosen = {"model": NOTHING, "batch": NOTHING, "external_data": NOTHING, **(files or FILES)}
    parts = [part(name, content, filename) for name, (filename, content) in chosen.items()]
    parts += [part(name, text.encode()) for name, text in (UNTOUCHED | said).items()]
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    return service.ask("POST", "/", content=b"".join([*parts, b"--b--\r\n"]), headers=kind)


def job_led_to(service: Service, answer: httpx.Response) -> Job:
    assert answer.status_code == HTTPStatus.SEE_OTHER
    job = service.parts.store.get(answer.headers["location"].removeprefix("/analyses/"))
    assert job is not None
    return job


def test_the_form_asks_the_same_question_as_the_api(service: Service) -> None:
    said = {"options.seed": "7", "options.freeze": "a\r\nb", "project": " net "}
    by_form = job_led_to(service, sent(service, **said))
    options = json.dumps({"seed": 7, "freeze": ["a", "b"]})
    answer = service.submit("?project=net", data={"options": options})
    by_api = service.parts.store.get(job_of(answer))
    assert by_api is not None
    assert (by_form.question, by_form.labels) == (by_api.question, by_api.labels)
    assert by_form.labels == {"project": "net"}


def test_a_model_alone_is_enough_and_its_data_files_come_along(service: Service) -> None:
    alone = job_led_to(service, sent(service, {"model": ("net.onnx", MODEL)}))
    assert (alone.question.batch_sha256, alone.question.data_files) == (None, {})
    files = {"model": ("net.onnx", MODEL), "external_data": ("w.bin", BATCH)}
    assert set(job_led_to(service, sent(service, files)).question.data_files) == {"w.bin"}


def test_a_form_obeys_the_quota_and_the_disk_like_the_api(service: Service) -> None:
    settings = service.parts.settings.model_copy(update={"max_queued_jobs": 1})
    service.app.state.parts = replace(service.parts, settings=settings)
    assert service.submit(headers=WITHOUT_WAITING).status_code == HTTPStatus.ACCEPTED
    refused = sent(service)
    assert (refused.status_code, refused.headers["retry-after"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "2")
    assert "1 analyses are waiting already" in refused.text
