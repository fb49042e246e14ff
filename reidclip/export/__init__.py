"""Encoders in formats of other runtimes, and the verification that they give the same vectors."""
