"""How a job id reaches a supervisor."""
