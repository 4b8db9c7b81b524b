"""The rag domain: search a tenant's chunks."""
