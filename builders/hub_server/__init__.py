"""The embedded Hub: a Hub-compatible server on loopback that keeps each repository in git."""
