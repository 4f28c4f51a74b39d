"""A child process that may do nothing: for files that strangers wrote."""
