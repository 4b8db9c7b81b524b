"""The documents domain: load, chunk, embed, store and list a tenant's documents."""
