"""The parts of a cycle: what it is identified by, what it rests on, and how an update climbs the ladder."""
