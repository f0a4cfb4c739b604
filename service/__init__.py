"""The service around the library: HTTP, jobs, the child that computes, and the command line."""
