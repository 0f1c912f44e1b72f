"""Tasks of construction sites."""
