"""The networks: the query-token VLM, its pixels and prompt, its checkpoints, and the frozen text encoder."""
