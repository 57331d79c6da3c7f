"""The HTTP service: trained models by the Open Inference Protocol, and by plain endpoints."""
