"""A set as one HTML page that a person looks at, with no network."""
