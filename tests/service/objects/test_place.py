"""Nodes of one database look at the same objects, or do not start."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from service.app import create_app
from service.jobs.store import Store
from service.objects.folder import ObjectFolder
from service.objects.place import OtherPlaceError, adopt, agree, open_objects
from service.settings import Settings
from service.worker.supervisor import Supervisor


@pytest.fixture
def engine(store: Store) -> Engine:
    return store.engine


def folder(tmp_path: Path, name: str) -> ObjectFolder:
    (tmp_path / name).mkdir(exist_ok=True)
    return ObjectFolder(tmp_path / name)


def test_whoever_sees_the_mark_of_the_first_node_may_start(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "mounted here").symlink_to(tmp_path / "shared")
    agree(folder(tmp_path, "shared"), engine, private=False)
    agree(ObjectFolder(tmp_path / "mounted here"), engine, private=False)
    agree(folder(tmp_path, "shared"), engine, private=True)


@pytest.mark.parametrize("private", [True, False])
def test_a_node_with_a_folder_of_its_own_is_told_what_to_do(tmp_path: Path, engine: Engine, private: bool) -> None:
    agree(folder(tmp_path, "first"), engine, private=False)
    with pytest.raises(OtherPlaceError, match=r"second does not hold .* GRADIENT_HEALTH_OBJECTS_URL .* adopt-objects"):
        agree(folder(tmp_path, "second"), engine, private=private)


def test_a_copy_of_a_folder_from_before_is_no_shared_one(tmp_path: Path, engine: Engine) -> None:
    """As in an image of a machine that served before: what its folder was marked with then proves nothing now."""
    for name in ("first", "second"):
        folder(tmp_path, name).mark("of another database")
    agree(folder(tmp_path, "first"), engine, private=False)
    with pytest.raises(OtherPlaceError):
        agree(folder(tmp_path, "second"), engine, private=False)


def test_of_nodes_that_start_together_those_of_one_folder_start(tmp_path: Path, url: str) -> None:
    places = [folder(tmp_path, name) for name in ("a", "a", "b", "a")]

    def start(place: ObjectFolder) -> str:
        with closing(Store(url)) as store:
            try:
                agree(place, store.engine, private=False)
            except OtherPlaceError:
                return "refused"
        return place.folder.name

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, places)) in (["a", "a", "a", "refused"], ["b", "refused", "refused", "refused"])


def test_a_data_folder_of_nobody_else_is_not_marked(tmp_path: Path, engine: Engine) -> None:
    for name in ("first", "emptied since"):
        agree(folder(tmp_path, name), engine, private=True)
        assert list((tmp_path / name).iterdir()) == []


def test_objects_that_were_moved_are_adopted(tmp_path: Path, engine: Engine) -> None:
    agree(folder(tmp_path, "old"), engine, private=False)
    adopt(folder(tmp_path, "new"), engine)
    agree(folder(tmp_path, "new"), engine, private=False)
    with pytest.raises(OtherPlaceError):
        agree(folder(tmp_path, "old"), engine, private=False)


def test_neither_an_api_nor_a_worker_starts_beside_objects_of_its_own(tmp_path: Path, url: str) -> None:
    first = create_app(Settings(data_dir=tmp_path / "first", database_url=url))
    first.state.parts.store.close()
    second = Settings(data_dir=tmp_path / "second", database_url=url)
    with pytest.raises(OtherPlaceError):
        create_app(second)
    with pytest.raises(OtherPlaceError):
        Supervisor(second)


def test_objects_are_opened_where_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", objects_url=f"file://{tmp_path}/shared%20disk").prepare()
    open_objects(settings).put(b"content")
    assert [path.name for path in (tmp_path / "shared disk").iterdir()] == ["ed"]
