"""The embedded Hub: a Hub-compatible server on loopback, with a git repository behind each repo."""
