"""prodml-magics takes a model from the notebook in which it was born to a monitored production service."""
