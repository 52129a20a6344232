"""The parts of a cycle: its identity, its context, and how an update climbs the ladder."""
