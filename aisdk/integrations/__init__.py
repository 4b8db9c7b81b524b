"""Third parties that aisdk can work with."""
