"""Gates: reasons to keep a row, or a whole draft, out."""
