"""Routes only translate: HTTP in, job or report out."""
