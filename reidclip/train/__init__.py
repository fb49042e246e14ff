"""The training loop and what stages share."""
