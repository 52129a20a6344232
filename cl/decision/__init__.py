"""The decision whether to learn, and at which rung of the ladder to begin."""
