"""The released weights, how they were made, and what they reach."""
