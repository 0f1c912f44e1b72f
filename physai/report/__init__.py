"""Pages for people, made from stored evidence only; imports evaluation and below."""
