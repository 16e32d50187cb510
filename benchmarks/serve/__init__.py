"""What serving costs: this project's server beside others and beside a loop over the session, a core each."""
