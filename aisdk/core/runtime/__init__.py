"""What surrounds and carries a call: verbs, the guard, faces and the loop thread."""
