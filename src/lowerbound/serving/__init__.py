"""Serving trained models: an inference service, an explorer in the browser, and files for other programs."""
