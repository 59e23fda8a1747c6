"""What a theory is asked for: runs, finite networks, and the spectra of both."""
