"""The usage domain: what a tenant has used, and what is left."""
