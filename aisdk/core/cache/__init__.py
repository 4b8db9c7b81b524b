"""The cache domain: values of your own, kept for a while under your own keys."""
