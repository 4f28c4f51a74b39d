"""The recipes: one small module each, found by its file name, registered nowhere."""
