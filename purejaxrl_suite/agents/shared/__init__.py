"""Parts that several agents share: learning, acting and probing."""
