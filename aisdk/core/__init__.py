"""The SDK proper: what surrounds a call, results, storage and one room a business domain."""
