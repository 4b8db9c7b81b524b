"""PostgreSQL and the cache: engine, embedded server, tenancy, schema and migrations."""
