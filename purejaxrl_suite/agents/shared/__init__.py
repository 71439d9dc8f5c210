"""What several agents share: parts of learning, of acting and of what is measured."""
