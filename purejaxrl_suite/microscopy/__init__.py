"""Learn how an electron beam moves atoms: rates from transitions, and controllers from rates."""
