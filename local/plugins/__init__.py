"""Stand-in Pulumi plugins for machines that reach package registries only."""
