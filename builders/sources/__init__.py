"""Where prompts and tasks come from: files, folders, Hub datasets, chat formats."""
