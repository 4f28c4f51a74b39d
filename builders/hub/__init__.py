"""The one home of huggingface_hub: what goes to a Hub, and what comes back from it."""
