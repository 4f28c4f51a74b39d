"""A pull request by a stranger: read in a sandbox, checked, commented, merged as reviewed."""
