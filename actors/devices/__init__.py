"""Virtual devices: each a thin actor, with its logic pure beside it."""
