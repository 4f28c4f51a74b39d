"""Running a recipe's distilabel pipelines: teachers, client, executor, and what each call gave."""
