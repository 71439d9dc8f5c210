"""The engine: rollouts, the training loop, evaluation, runs of many seeds and what they leave."""
