"""3D bodies: models of shape, measurements of them, words for them, rendered sets of them, and the head that predicts them."""
