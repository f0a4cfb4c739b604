from service.api.labels import labels_of


def test_only_what_was_told_is_a_label() -> None:
    assert labels_of() == {}
    assert labels_of(project="p", model_version="2") == {"project": "p", "model_version": "2"}
