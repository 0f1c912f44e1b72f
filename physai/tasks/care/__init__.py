"""Tasks of care: close to a person, with consent."""
