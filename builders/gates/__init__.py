"""Gates: what keeps a row, or a whole draft, out."""
