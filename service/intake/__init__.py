"""What arrives becomes a job: open `multipart` for how bytes reach storage, `submission` for what becomes of them."""
