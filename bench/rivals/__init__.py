"""What people use now, on the same hosts with the same texts: an Ansible playbook and a pyinfra deploy."""
