"""What every room may use: messages, named failures, progress, files, memory, threads."""
