"""What others call: portable models, an HTTP service, the explorer in the browser."""
