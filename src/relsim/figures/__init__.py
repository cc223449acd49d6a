"""Pictures of results: every figure is drawn from result files or typed records, never from a model."""
