"""Tasks of construction: one file of logic each, their experts beside them."""
