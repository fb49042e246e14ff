"""Retrieval results: filter rules, exact ranking, metrics, protocols, intervals."""
