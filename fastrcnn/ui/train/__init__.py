"""The Train tab: a detector learns while one watches."""
