"""A planner in place of pulumi-resource-aws: it previews a stack without an account, and applies nothing."""
