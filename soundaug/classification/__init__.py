"""The classifier: network, training, arms, and what else is made of one."""
