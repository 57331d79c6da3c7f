"""The HTTP service: trained models by the Open ParsedRequest Protocol, and by plain endpoints."""
