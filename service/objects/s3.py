"""Blobs in a bucket (extra `s3`): a key for each sha256, under a prefix.

An upload is collected in a folder of this node first, since its name is known only at its end; the bucket then takes it
whole or not at all. What a bucket does not do at this moment is an OSError, like what a disk does not.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from service.objects.blob import Blob, Found, UnavailableError
from service.objects.folder import NAME
from service.objects.part import PartWriter, sweep_parts

if TYPE_CHECKING:
    from obstore import ObjectMeta

PIECE: Final = 16 << 20
"""Bytes of one request, so that each ends within its time however large a blob is."""
PATIENCE: Final = timedelta(seconds=30)
"""Of one request that carries a piece."""
QUESTION_PATIENCE: Final = timedelta(seconds=5)
"""Of one that carries nothing, which others may wait for: rows are locked while a bucket says what it has."""


class ObjectBucket:
    """Uploads, reports and repaired models, as `service.objects.blob.Objects` promises them."""

    def __init__(self, url: str, spool: Path, access: Mapping[str, str]) -> None:
        """`s3://bucket/prefix`; what `access` leaves out is taken from `AWS_*`, or from the machine's role."""
        parts = urlsplit(url)
        self.spool = spool
        self._url = url
        self._prefix = parts.path.strip("/")
        self._bucket = _bucket(parts.netloc, access, PATIENCE)
        self._asked = _bucket(parts.netloc, access, QUESTION_PATIENCE)

    def __str__(self) -> str:
        """As an operator names it."""
        return self._url

    def key(self, *names: str) -> str:
        """Of what lies under the prefix."""
        return "/".join(filter(None, (self._prefix, *names)))

    def put(self, content: bytes) -> Blob:
        """Store bytes."""
        with self.writer() as writer:
            writer.write(content)
            return writer.commit()

    def get(self, sha256: str) -> bytes:
        """Read a blob."""
        return b"".join(self._pieces(sha256))

    @contextmanager
    def local(self, sha256: str) -> Iterator[Path]:
        """A copy, which is gone when the context ends."""
        kept: list[Path] = []
        with PartWriter(self.spool, lambda path, _: kept.append(path)) as copy:
            for piece in self._pieces(sha256):
                copy.write(piece)
            copy.commit()
            if copy.sha256 != sha256:
                raise UnavailableError(f"{self._url} has another content under {sha256}")
            yield kept[0]

    def writer(self, *, anew: bool = False) -> PartWriter:
        """Store a stream; `anew`: also where the same is stored already."""
        return PartWriter(self.spool, self._upload if anew else self._upload_once)

    def size(self, sha256: str) -> int | None:
        """Bytes of a blob; None: there is none."""
        return self._size(self.key(sha256[:2], sha256))

    def found(self, prefix: str) -> Iterator[Found]:
        """Blobs whose names begin with these two hexadecimal digits."""
        with telling():
            for page in obstore.list(self._bucket, prefix=self.key(prefix)):
                for each in page:
                    name = each["path"].rpartition("/")[2]
                    if NAME.fullmatch(name):
                        yield Found(name, each["size"], _version(each))

    def remove(self, blob: Found) -> bool:
        """Remove a blob; False: it is gone, or was stored anew since it was found."""
        key = self.key(blob.sha256[:2], blob.sha256)
        try:
            with telling():
                if _version(obstore.head(self._asked, key)) != blob.version:
                    return False
                obstore.delete(self._asked, key)
        except FileNotFoundError:
            return False
        return True

    def sweep(self) -> None:
        """Remove what killed processes left half written, here; a rule of the bucket ends half uploads there."""
        sweep_parts(self.spool)

    def check(self) -> None:
        """Raises OSError where the bucket does not answer."""
        with telling():
            obstore.list(self._asked, prefix=self.key("marks"), chunk_size=1).collect()

    def mark(self, name: str) -> None:
        """Leave a mark."""
        with telling():
            obstore.put(self._asked, self.key("marks", name), b"")

    def has_mark(self, name: str) -> bool:
        """Whether somebody left it."""
        return self._size(self.key("marks", name)) is not None

    def _upload_once(self, part: Path, sha256: str) -> None:
        if self._size(self.key(sha256[:2], sha256)) != part.stat().st_size:
            self._upload(part, sha256)

    def _upload(self, part: Path, sha256: str) -> None:
        with telling():
            obstore.put(self._bucket, self.key(sha256[:2], sha256), part, chunk_size=PIECE)

    def _pieces(self, sha256: str) -> Iterator[bytes]:
        key = self.key(sha256[:2], sha256)
        size = self._size(key)
        if size is None:
            raise FileNotFoundError(f"{self._url} has no {sha256}")
        for start in range(0, size, PIECE):
            with telling():
                yield bytes(obstore.get_range(self._bucket, key, start=start, end=min(start + PIECE, size)))

    def _size(self, key: str) -> int | None:
        try:
            with telling():
                return obstore.head(self._asked, key)["size"]
        except FileNotFoundError:
            return None


def _bucket(name: str, access: Mapping[str, str], patience: timedelta) -> S3Store:
    options: Any = {**access, "virtual_hosted_style_request": "false"}
    return S3Store(
        name,
        config=options,
        client_options={"timeout": patience, "connect_timeout": QUESTION_PATIENCE, "allow_http": True},
        retry_config={"max_retries": 3, "retry_timeout": patience},
    )


def _version(about: "ObjectMeta") -> str:
    """Of a listing as of a question: only some places tell parts of seconds, and not always."""
    return f"{about['last_modified']:%Y-%m-%dT%H:%M:%S} {about['e_tag']}"


@contextmanager
def telling() -> Iterator[None]:
    """What goes wrong with a bucket, as what goes wrong with a disk."""
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise FileNotFoundError(str(error)) from error
    except BaseError as error:
        raise UnavailableError(str(error).partition("\n")[0][:300]) from error
