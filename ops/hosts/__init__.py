"""An Ansible playbook of a stack's hosts; Ansible itself is neither imported nor brought along."""
