"""What arrives, on its way to becoming a job: open `multipart` first."""
