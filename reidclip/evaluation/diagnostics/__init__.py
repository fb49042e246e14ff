"""Why a result is what it is: distances of pairs, prompts against pictures, a map of people, what is left of the clothes."""
