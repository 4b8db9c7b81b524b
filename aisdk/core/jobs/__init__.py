"""The jobs domain: work that goes on after its call has returned."""
