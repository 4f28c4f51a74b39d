"""Judges: what they are asked, what they said, and how far they can be trusted."""
