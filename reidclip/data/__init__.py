"""Data sets on disk and the way from their pictures to batches of tensors."""
