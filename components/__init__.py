"""The stack's components, one ComponentResource a file."""
