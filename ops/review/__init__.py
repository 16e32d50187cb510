"""Review stacks: a stack of its own for each pull request, which ends by itself when its time is over."""
