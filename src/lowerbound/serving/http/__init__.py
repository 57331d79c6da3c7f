"""What the service and the explorer share over HTTP: access, hosting, validation, headers."""
