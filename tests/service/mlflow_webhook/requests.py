"""Requests as MLflow makes them, and an analysis that takes no time."""

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from service.mlflow_webhook.analysis import Analysed, Analysis, AnalysisFailed
from tests.analysis.render.pages import by_hand

SECRET = "s3cret"


def payload(name: str = "net", version: str = "1", entity: str = "model_version", action: str = "created") -> bytes:
    data = {"name": name, "version": version, "source": "models:/m-1", "run_id": None, "tags": {}, "description": None}
    told = {"entity": entity, "action": action, "timestamp": "2026-11-29T10:00:00+00:00", "data": data}
    return json.dumps(told).encode()


def signed(body: bytes, secret: str = SECRET, sent: float | None = None) -> dict[str, str]:
    """Headers of a delivery of its own; the signature is written as in mlflow/webhooks/delivery.py."""
    delivery, timestamp = str(uuid.uuid4()), str(int(time.time() if sent is None else sent))
    content = f"{delivery}.{timestamp}.{body.decode()}".encode()
    digest = hmac.new(secret.encode(), content, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Signature": "v1," + base64.b64encode(digest).decode(),
    }


class Instant(Analysis):
    """What it was given, and a report at once, or once it may."""

    def __init__(self) -> None:
        super().__init__([], 1.0)
        self.given: list[dict[str, Any]] = []
        self.may = threading.Event()
        self.may.set()
        self.broken: Exception | None = None

    def run(self, model: Path, batch: Path | None, folder: Path) -> Analysed:
        self.given.append({"model": model.read_bytes(), "batch": None if batch is None else batch.read_bytes()})
        self.may.wait()
        if self._stopped:
            raise AnalysisFailed("the receiver stops")
        if self.broken is not None:
            raise self.broken
        repaired = folder / "relu+he.onnx"
        repaired.write_bytes(b"repaired")
        return Analysed(by_hand(), [repaired])

    def stop(self) -> None:
        super().stop()
        self.may.set()
