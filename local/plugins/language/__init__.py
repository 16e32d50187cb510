"""The Python language host: runs a Pulumi program and Python plugins for the engine."""
