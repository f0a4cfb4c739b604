"""What an operator may set, from the environment (prefix GRADIENT_HEALTH_), read once at start and passed down."""

import os
import shutil
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
KEYS: Final = r"^(https://.+|http://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(/.*)?|file:///.+)?$"
OBJECTS: Final = "^(file:///.+|s3://[^/]+(/.*)?)?$"
MOST_SLOTS: Final = 64
MOST: Final = 1 << 62
"""What is counted fits into a column of a database and a limit of a kernel."""
LONGEST_SECONDS: Final = 100 * 365 * 24 * 3600.0
"""A moment so long ago, or so far ahead, is one yet."""
CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""Of a container (cgroup v2): microseconds of processor time in a period, and the period."""


def usable_cores() -> int:
    """Those that this process may run on, or the share of them that its container is held to."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return cores


class Settings(BaseSettings):
    """Frozen; limits are on by default."""

    model_config = SettingsConfigDict(env_prefix="GRADIENT_HEALTH_", frozen=True, use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    """0 takes a free port; the server prints which."""
    log_format: Literal["text", "json"] = "text"
    """`json`: an object a line, and a line for every request that is no probe."""
    audit_file: str = ""
    """A file that who did what is appended to, an object a line; it is in the log in any case."""
    auth: Literal["none", "keys"] = "none"
    """`keys`: every request but `/healthz`, `/readyz` and `/openapi.json` needs an API key (`gradient-health keys`), or
    a token where `jwt_issuer` is set."""
    jwt_issuer: str = ""
    """Whose tokens (JWT, the claim `iss`) open what keys open; with `jwt_audience` and `jwt_keys_url`, extra `auth`."""
    jwt_audience: str = ""
    """What the claim `aud` of a token has to name: tokens for other services are none here."""
    jwt_keys_url: str = Field(default="", pattern=KEYS)
    """Where the public keys of the issuer are, a JWK Set: `https://...`, `http://` of the loopback address, or the file
    `file:///path`. Its discovery document calls it `jwks_uri`."""
    jwt_tenant_claim: str = "sub"
    """The claim that names the tenant whose analyses a token opens."""
    jwt_scopes_claim: str = "scope"
    """The claim that has `read`, `write` or `admin`, as a text or a list; empty: every token may read and write."""
    allow_unprotected: bool = False
    """Serve without keys on an address that is no loopback, too: whoever reaches it may then do everything."""
    allowed_hosts: str = ""
    """Names that requests may be for, separated by commas, `*` for any; by default those of the loopback address, and
    any where `host` is another one."""
    data_dir: Path = Path("data")
    """Of this node alone: working folders, and by default job table, uploads and reports."""
    database_url: str = ""
    """SQLAlchemy URL; by default a SQLite file in data_dir."""
    objects_url: str = Field(default="", pattern=OBJECTS)
    """Where uploads, reports and repaired models are, which all nodes of a database share: `file:///path` of a folder
    on a disk that all of them mount, or `s3://bucket/prefix`; by default the folder `objects` in data_dir."""
    s3_endpoint: str = ""
    """Of a bucket that is not with AWS, such as `http://minio:9000`. What is not set of these comes from `AWS_*`, or
    from the role of the machine."""
    s3_region: str = ""
    s3_access_key_id: str = ""
    s3_secret_access_key: str = Field(default="", repr=False)
    max_upload_bytes: int = Field(default=2 << 30, ge=1)
    """Model and batch together."""
    max_blob_bytes_per_tenant: int = Field(default=64 << 30, ge=0)
    """What the blobs of one tenant, sent ahead of analyses, may take together; 0: no limit of its own."""
    max_comparison_bytes: int = Field(default=32 << 20, ge=1)
    """Body of a comparison, which may hold two reports; larger ones are named by the ids of their analyses."""
    max_options_bytes: int = Field(default=64 << 10, ge=1)
    min_free_bytes: int = Field(default=512 << 20, ge=0)
    """Of the disk that data_dir is on: no upload may leave less, and `/readyz` says so below it."""
    max_queued_jobs: int = Field(default=1000, ge=1)
    """Further jobs are refused until some have started."""
    max_queued_jobs_per_tenant: int = Field(default=0, ge=0)
    """The same for the jobs of one tenant; 0: no limit of its own."""
    max_submissions_per_minute_per_tenant: int = Field(default=0, ge=0)
    """Submissions, comparisons and blobs of one tenant within a minute; 0: no limit."""
    max_bytes_per_day_per_tenant: int = Field(default=0, ge=0)
    """What one tenant may send within a day; 0: no limit."""
    max_running_jobs_per_tenant: int = Field(default=0, ge=0)
    """The others of its jobs wait, and let those of other tenants pass; 0: no limit of its own."""
    idle_upload_seconds: float = Field(default=30.0, gt=0)
    """A client that sends nothing for so long is cut off."""
    min_upload_bytes_per_second: float = Field(default=1024.0, gt=0)
    """A client that, beyond the idle seconds, sends more slowly than this on the whole is cut off."""
    max_header_bytes: int = Field(default=32 << 10, ge=1 << 10)
    """Request line and headers together."""
    header_seconds: float = Field(default=10.0, gt=0)
    """A connection that has not sent a whole header within them is closed."""
    drain_seconds: float = Field(default=15.0, ge=0)
    """What is under way when the service is told to stop may go on for so long; 10 s more and it has stopped."""
    max_job_seconds: float = Field(default=900.0, gt=0)
    """Wall clock of one analysis."""
    max_job_memory_bytes: int = Field(default=16 << 30, ge=1 << 30)
    """Private memory of one analysis."""
    require_sandbox: bool = False
    """Refuse to analyse anything where a layer of the sandbox (`gradient-health doctor` lists them) is not in force."""
    max_models_bytes: int = Field(default=1 << 30, ge=0)
    """What the repaired models of one analysis may take together; remedies come first."""
    runner: Literal["embedded", "poll", "celery"] = "embedded"
    """Who computes: a supervisor of this service; workers (`gradient-health worker`) that ask the job table; or workers
    that a broker tells."""
    broker_url: str = "amqp://guest:guest@127.0.0.1:5672//"
    """Of RabbitMQ (`amqp://`) or Redis (`redis://`), for the runner `celery`."""
    computes: Literal["any", "cpu", "gpu"] = "any"
    """Which jobs this node computes: `gpu` are those whose options say `"device": "cuda"`."""
    lease_seconds: float = Field(default=30.0, ge=2)
    """A worker that has not been heard of for so long is lost, and its jobs are queued again."""
    cache_seconds: float = Field(default=7 * 24 * 3600.0, ge=0)
    """The report of an analysis answers the same bytes and options of the same tenant for so long; 0: never."""
    webhook_hosts: str = ""
    """Hosts that are told of the ends of analyses whose submission asks for it, separated by commas, such as
    `ci.example.org,*.example.net:8443`; by default none."""
    webhook_secret: str = Field(default="", repr=False)
    """What webhooks are signed by, 32 characters or more; `gradient-health keys webhook-secret` tells the tenants'."""
    webhook_private: bool = False
    """Webhooks may go to addresses that are not public, too."""
    keep_days: float = Field(default=0.0, ge=0, le=100 * 365)
    """Analyses that ended earlier are deleted, as if their tenants had asked for it; 0: none is."""
    keep_jobs: int = Field(default=0, ge=0)
    """So many analyses that have ended are kept, those that ended last, of all tenants together; 0: all of them."""
    keep_bytes: int = Field(default=0, ge=0)
    """Where uploads, reports and repaired models take more together, the analyses that ended first are deleted;
    0: none is."""
    orphan_seconds: float = Field(default=3600.0, gt=0)
    """Files that belong to no analysis any more are removed after so long, and within a third of it more."""
    job_slots: int = Field(default_factory=lambda: min(usable_cores(), MOST_SLOTS), ge=1, le=MOST_SLOTS)
    """Analyses at a time, by default one for each core that the service may use; they share the cores."""
    default_wait_seconds: float = Field(default=30.0, ge=0)
    """How long a POST waits for the report before it answers 202."""
    max_wait_seconds: float = Field(default=300.0, ge=0)

    @field_validator("*")
    @classmethod
    def _within_reach(cls, value: object) -> object:
        """What has no end of its own ends where computing with it would, long after a service has started."""
        most = LONGEST_SECONDS if isinstance(value, float) else MOST
        if isinstance(value, int | float) and value > most:
            raise ValueError(f"should be at most {most:g}")
        return value

    @property
    def job_threads(self) -> int:
        """On which one analysis computes; those of all slots together are no more than the cores."""
        return max(1, usable_cores() // self.job_slots)

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine can connect."""
        try:
            return self.host in LOOPBACK or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def needs_keys(self) -> bool:
        """Whether requests need an API key or a token."""
        return self.auth == "keys"

    def has_reserve(self, needed: int = 0) -> bool:
        """Whether the disks, of the job table and of the objects, keep their reserve with so many bytes more."""
        free = min(shutil.disk_usage(folder).free for folder in (self.data_dir, self.objects_dir))
        return free - needed >= self.min_free_bytes

    @property
    def takes_tokens(self) -> bool:
        """Whether anything is said of tokens; whether enough is, `issuer_of` tells."""
        return bool(self.jwt_issuer or self.jwt_audience or self.jwt_keys_url)

    @property
    def is_exposed(self) -> bool:
        """Whether others can connect without a key, and nobody has said that they may."""
        return not (self.is_local or self.needs_keys or self.allow_unprotected)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names that requests may be for, or `*`."""
        named = tuple(name.strip() for name in self.allowed_hosts.split(",") if name.strip())
        return named or ((*LOOPBACK, self.host) if self.is_local else ("*",))

    @property
    def database(self) -> str:
        """Where the job table is."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'jobs.sqlite'}"

    @property
    def objects_dir(self) -> Path:
        """Uploads and reports by sha256; with a bucket, where they are collected on their way."""
        if self.is_bucket:
            return self.data_dir.resolve() / "spool"
        if self.objects_url:
            return Path(unquote(self.objects_url.removeprefix("file://")))
        return self.data_dir.resolve() / "objects"

    @property
    def is_bucket(self) -> bool:
        """Whether objects are in S3."""
        return self.objects_url.startswith("s3://")

    @property
    def bucket_access(self) -> dict[str, str]:
        """What is set of how to get at it."""
        given = {
            "endpoint": self.s3_endpoint,
            "region": self.s3_region,
            "access_key_id": self.s3_access_key_id,
            "secret_access_key": self.s3_secret_access_key,
        }
        return {name: value for name, value in given.items() if value}

    @property
    def is_private(self) -> bool:
        """Whether job table and objects both lie in data_dir, by default."""
        return not (self.database_url or self.objects_url)

    @property
    def work_dir(self) -> Path:
        """Private folders of running jobs."""
        return self.data_dir.resolve() / "work"

    def prepare(self) -> "Settings":
        """Make the folders."""
        for folder in (self.objects_dir, self.work_dir):
            folder.mkdir(parents=True, exist_ok=True)
        return self
