"""Topics, actions and summaries of meetings."""
