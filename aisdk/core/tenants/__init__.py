"""The tenants domain: the platform's register of tenants, their tiers, and their end."""
