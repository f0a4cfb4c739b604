"""What the tests ask of a service: small models and longer jobs, and how a refusal has to look."""

import json
import re
from pathlib import Path

import httpx

from service.problems import Problem
from tests.acceptance.conftest import Service
from tests.gallery import he, mlp, vectors, xavier

ROOT = Path(__file__).parents[2]
WAY_OUT_IN_DETAIL = re.compile("expected .*, given .*|must lie in|Expecting")
SICK, HEALTHY, BATCH = mlp(12, "Sigmoid", xavier()), mlp(6, "Relu", he()), vectors()
LONG = {"model": mlp(12, "Sigmoid", xavier(), width=32), "batch": BATCH}
"""With effort=thorough it computes for two or three seconds."""


def thorough(seed: int) -> str:
    return json.dumps({"effort": "thorough", "seed": seed})


def long_job(service: Service, seed: int) -> str:
    return service.submit(**LONG, options=thorough(seed))


def refused(response: httpx.Response) -> Problem:
    """The problem of an answer, as every problem has to be."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = Problem.model_validate(response.json())
    assert response.status_code == problem.status
    assert problem.type == f"urn:gradient-health:problem:{problem.code}"
    assert problem.hint or WAY_OUT_IN_DETAIL.search(problem.detail), problem
    for line in (problem.title, problem.detail, problem.where, problem.hint):
        assert line.isprintable()
    for inside in ("Traceback", 'File "', ".py", "Error(", str(ROOT)):
        assert inside not in response.text
    return problem
