"""Deep-RL research as one compiled program."""
