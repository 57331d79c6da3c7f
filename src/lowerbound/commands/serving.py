"""The command that serves models over HTTP."""
