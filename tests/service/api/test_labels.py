import asyncio

from service.api.labels import labels_of


def test_only_what_was_told_is_a_label() -> None:
    assert asyncio.run(labels_of()) == {}
    assert asyncio.run(labels_of(project="p", model_version="2")) == {"project": "p", "model_version": "2"}
