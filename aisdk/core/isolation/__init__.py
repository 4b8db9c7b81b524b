"""The isolation domain: tries to reach one tenant's data as another, and says what it found."""
