"""The policy pack: what a stack may not do, and what it had better not do (docs/policies.md)."""
