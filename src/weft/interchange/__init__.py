"""Forms in which a model runs without weft's own networks."""
