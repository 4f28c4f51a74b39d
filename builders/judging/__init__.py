"""Judges: what they are asked, how their answers are parsed, how far they can be trusted."""
