"""From a source to a draft: run, outcomes, estimate, preview, merge of shards, contributions."""
