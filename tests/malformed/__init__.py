"""Malformed inputs: how they are made, and how it is seen what becomes of them."""
