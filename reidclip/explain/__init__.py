"""Where a feature comes from in its picture: heat maps, what share of them lies on clothes, and sheets to look at."""
