"""Who may do what: `key` is one API key, `keys` the table of them."""
