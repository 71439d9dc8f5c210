"""The engine: rollouts, the training loop and evaluation, pure functions of one member."""
