"""One file a family of formats: how its bytes or characters become text."""
