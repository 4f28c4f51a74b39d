"""From kept rows to a folder that equals a version on the Hub: draft, lineage, card, release."""
