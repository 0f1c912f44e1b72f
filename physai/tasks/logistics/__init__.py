"""Tasks of logistics: loads, aisles, and people who work in them."""
