"""The Train tab: a detector learns while the visitor watches."""
