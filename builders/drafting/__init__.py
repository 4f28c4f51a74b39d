"""From a source to a draft: run, outcomes, estimate, merge of shards, contributions."""
