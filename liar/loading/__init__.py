"""Finding, fetching and loading a checkpoint: from the demo bundle, a folder or the hub."""
