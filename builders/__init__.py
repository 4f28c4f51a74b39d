"""The engine: everything that is true of every set; it knows no recipe by name."""
