"""HTTP: translation and nothing else. Open `routes` first, then what they share.

`context` is what a route is given, `accept` and `answers` how a report is told, `waiting` how long a request waits for
one, `handlers` what is told where something goes wrong, `authentication` who asks.
"""
