"""One confined child per job: open `supervisor` first, then `child`."""
