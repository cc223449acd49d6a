"""Training: the one loop, its objectives as small functions, its data and its configuration."""
