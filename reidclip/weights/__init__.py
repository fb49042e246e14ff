"""The small embedded models and their cards."""
