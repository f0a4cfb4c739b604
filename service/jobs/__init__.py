"""The job and its table: open `job` for what may become of one, `store` for how that is kept."""
