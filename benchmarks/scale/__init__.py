"""What a stack of many models costs, beside as many resources that do nothing."""
