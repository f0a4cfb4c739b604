"""Where the objects of a database are, and the proof that a node looks at that place.

Nodes of one database share their objects, or each would fail the jobs whose files another one received. So the first
node leaves a mark among the objects, with a random name that the database keeps, and a node that does not find it there
does not start. A folder of the same path on another machine has no such mark.
"""

import uuid
from typing import Final

from sqlalchemy import Column, String, Table, select
from sqlalchemy.engine import Engine

from service.database import METADATA, alone
from service.objects.blob import Objects
from service.objects.folder import ObjectFolder
from service.settings import Settings
from service.startup import CannotStartError, needing_extra

PLACE: Final = Table("object_place", METADATA, Column("mark", String(36), primary_key=True))
"""One row, once a node has started that may share its objects."""


class OtherPlaceError(CannotStartError):
    """The objects of a database lie elsewhere."""


def open_objects(settings: Settings) -> Objects:
    """The place that the settings name. Raises MissingExtraError."""
    if not settings.is_bucket:
        return ObjectFolder(settings.objects_dir)
    with needing_extra("s3"):
        from service.objects.s3 import ObjectBucket  # noqa: PLC0415 - of an extra that few have
    return ObjectBucket(settings.objects_url, settings.objects_dir, settings.bucket_access)


def objects_of(engine: Engine, settings: Settings) -> Objects:
    """The objects of a database, which is closed where they are others. Raises OtherPlaceError."""
    objects = open_objects(settings)
    try:
        agree(objects, engine, private=settings.is_private)
    except OtherPlaceError:
        engine.dispose()
        raise
    return objects


def agree(objects: Objects, engine: Engine, *, private: bool) -> None:
    """Prove that these are the objects of the database. Raises OtherPlaceError.

    `private`: both lie in one data folder that nobody else names, and no mark is left.
    """
    with alone(engine) as connection:
        known = connection.execute(select(PLACE.c.mark)).scalar_one_or_none()
        if known is None and not private:
            objects.mark(mark := str(uuid.uuid4()))
            connection.execute(PLACE.insert().values(mark=mark))
        elif known is not None and not objects.has_mark(known):
            raise OtherPlaceError(
                f"{objects} does not hold the objects of this database: mark {known} is not there. All nodes of a "
                "database share them: set GRADIENT_HEALTH_OBJECTS_URL of every node to the same folder on a disk that "
                "all of them mount (file:///...) or to one bucket (s3://...). Where they were moved on purpose, "
                "`gradient-health database adopt-objects` says that these are the ones from now on"
            )


def adopt(objects: Objects, engine: Engine) -> None:
    """These are the objects of the database from now on."""
    with alone(engine) as connection:
        objects.mark(mark := str(uuid.uuid4()))
        connection.execute(PLACE.delete())
        connection.execute(PLACE.insert().values(mark=mark))
