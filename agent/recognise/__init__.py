"""From free words to a situation, hard conditions and what remains as a wish."""
