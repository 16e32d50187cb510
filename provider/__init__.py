"""The project's own Pulumi provider, and the resource classes that name its types."""
